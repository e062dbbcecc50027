// SPDX-License-Identifier: Apache-2.0
#include "train/train.h"

#include "checkpoint/store.h"
#include "tests/train/tiny_run.h"
#include "train/stop.h"

#include <cmath>
#include <csignal>

namespace ringmaster::train {
namespace {

TEST(Train, RankCountsAgreeOver20Steps) {
  const TinyRun one;
  ASSERT_EQ(one.train(1, {"training.steps=20"}), 0);
  const std::vector<double> expected = one.losses();
  ASSERT_EQ(expected.size(), 20U);
  EXPECT_LT(expected.back(), expected.front());
  for (const int ranks : {2, 3, 4}) {
    const TinyRun run;
    ASSERT_EQ(run.train(ranks, {"training.steps=20"}), 0);
    const std::vector<double> losses = run.losses();
    ASSERT_EQ(losses.size(), expected.size());
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(losses[i], expected[i], 1e-5 * expected[i]) << ranks << " ranks, step " << i + 1;
    EXPECT_NEAR(run.summary()["validation_loss"].get<double>(), one.summary()["validation_loss"].get<double>(), 1e-4);
  }
}

TEST(Train, ResumingGivesTheSameBits) {
  for (const int ranks : {1, 2}) {
    const std::vector<std::string> every_10{"validation.interval=10", "checkpoint.interval=10", "model.dropout=0.1"};
    auto steps = [&](const char* n) {
      auto sets = every_10;
      sets.push_back(std::string("training.steps=") + n);
      return sets;
    };
    const TinyRun whole, parts;
    ASSERT_EQ(whole.train(ranks, steps("20")), 0);
    ASSERT_EQ(parts.train(ranks, steps("10")), 0);
    ASSERT_EQ(parts.train(ranks, steps("20")), 0);
    EXPECT_EQ(whole.summary()["params_hash"], parts.summary()["params_hash"]);
    EXPECT_EQ(whole.summary()["state_hash"], parts.summary()["state_hash"]);
    const std::vector<Json> a = whole.metrics(), b = parts.metrics();
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(deterministic(a[i]).dump(), deterministic(b[i]).dump());
  }
}

// Gradients that are added where they are made have the bits of those that are not. Several grains a rank, a tied table.
TEST(Train, WithoutThePassFuseTheBitsAreTheSame) {
  for (const std::string compute : {"f32", "bf16"}) {
    const TinyRun fused, plain;
    const std::vector<std::string> sets{"training.steps=5", "training.global_batch_size=6", "training.grain_size=2",
                                        "precision.compute=" + compute};
    ASSERT_EQ(fused.train(1, sets), 0);
    TrainOptions options = plain.options(sets);
    options.disabled_passes = {"fuse"};
    ASSERT_EQ(TinyRun::start(1, options), 0);
    EXPECT_EQ(fused.summary()["state_hash"], plain.summary()["state_hash"]) << compute;
    EXPECT_NE(fused.summary()["plan_hash"], plain.summary()["plan_hash"]);
  }
}

TEST(Train, MetricsHoldEachStepOnceAfterACrash) {
  const TinyRun run;
  ASSERT_EQ(run.train(1, {"training.steps=6", "checkpoint.interval=3", "checkpoint.keep_latest_k=5"}), 0);
  const std::vector<double> before = run.losses();
  std::filesystem::remove_all(run.folder() / "checkpoint" / "step-00000006");  // as if the run had died behind step 3
  std::ofstream(run.folder() / "metrics.jsonl", std::ios::app) << "{\"kind\":\"step\",\"st";
  ASSERT_EQ(run.train(1, {"training.steps=6", "checkpoint.interval=3", "checkpoint.keep_latest_k=5"}), 0);
  const std::vector<Json> steps = run.metrics("step");
  ASSERT_EQ(steps.size(), 6U);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i]["step"], i + 1);
  EXPECT_EQ(run.losses(), before);
}

TEST(Train, WorkAndWireAreThePlans) {
  const TinyRun run;  // 7 grains on 3 ranks: 3, 2, 2
  ASSERT_EQ(run.train(3, {"training.global_batch_size=14"}), 0);
  const Json summary = run.summary();
  EXPECT_EQ(summary["grains_per_rank"], Json({3, 2, 2}));
  EXPECT_EQ(summary["wire_bytes_sent_planned"], summary["wire_bytes_sent_measured"]);
  EXPECT_GT(summary["wire_bytes_sent_planned"][0].get<int64_t>(), 0);
  const auto flops = summary["gemm_flops"].get<std::vector<int64_t>>();
  EXPECT_GT(flops[0], 0);
  EXPECT_EQ(flops[1], flops[2]);
  EXPECT_EQ(2 * flops[0], 3 * flops[1]);
}

TEST(Train, BytesOfAStepAreWhatAnotherStepAdds) {
  const TinyRun shorter, longer;
  ASSERT_EQ(shorter.train(3, {"training.steps=2"}), 0);
  ASSERT_EQ(longer.train(3, {"training.steps=3"}), 0);
  const auto sent = [](const TinyRun& run) {
    int64_t bytes = 0;
    for (const int64_t of_rank : run.summary()["wire_bytes_sent_measured"].get<std::vector<int64_t>>())
      bytes += of_rank;
    return bytes;
  };
  EXPECT_EQ(longer.metrics("step").back()["wire_bytes_sent"], sent(longer) - sent(shorter));
}

TEST(Train, PeakIsMeasuredWhereItWasPlanned) {
  for (const int ranks : {1, 2, 3, 4}) {  // 3 grains: a rank without any at the end
    const TinyRun run;
    ASSERT_EQ(run.train(ranks), 0);
    const Json summary = run.summary();
    EXPECT_EQ(summary["peak_bytes_planned"], summary["peak_bytes_measured"]) << ranks << " ranks";
  }
}

TEST(Train, AStopSignalSavesAndTheRunGoesOn) {
  const TinyRun whole, stopped;
  ASSERT_EQ(whole.train(2, {"training.steps=5"}), 0);
  {
    const StopSignals signals;
    ::kill(::getpid(), SIGUSR1);
    while (!StopSignals::requested()) std::this_thread::yield();
    EXPECT_EQ(stopped.train(2, {"training.steps=5"}), 75);
  }
  EXPECT_EQ(stopped.summary()["status"], "saved");
  EXPECT_EQ(stopped.summary()["steps"], 0);
  const StopSignals forgotten;
  ASSERT_EQ(stopped.train(2, {"training.steps=5"}), 0);
  EXPECT_EQ(stopped.summary()["params_hash"], whole.summary()["params_hash"]);
}

TEST(Train, AStepThatIsNotFiniteIsNotCommitted) {
  const TinyRun run;
  EXPECT_EQ(run.train(2, {"training.steps=20", "optimizer.lr=1e30", "optimizer.name=sgd", "optimizer.weight_decay=0",
                          "training.max_norm=0", "checkpoint.interval=1"}),
            4);
  const Json summary = run.summary();
  EXPECT_EQ(summary["status"], "diverged");
  EXPECT_EQ(summary["exit_code"], 4);
  EXPECT_EQ(run.metrics("step").size(), summary["steps"].get<size_t>());
  const Json failure = Json::parse(read_file(run.folder() / "failure.json"));
  EXPECT_EQ(failure["step"], summary["steps"].get<int64_t>() + 1);
  EXPECT_EQ(failure["phase"], "train");
}

// No step follows that would notice it.
TEST(Train, ALastUpdateThatDestroysTheWeightsIsNotSaved) {
  const TinyRun run;
  EXPECT_EQ(run.train(2, {"training.steps=3", "optimizer.lr=1e39", "checkpoint.interval=1"}), 4);
  EXPECT_EQ(run.summary()["status"], "diverged");
  EXPECT_EQ(run.summary()["exit_code"], 4);
  EXPECT_TRUE(run.metrics("checkpoint").empty());
  EXPECT_FALSE(std::filesystem::exists(run.folder() / "checkpoint" / "step-00000001"));
  const Json failure = Json::parse(read_file(run.folder() / "failure.json"));
  EXPECT_NE(failure["cause"].get<std::string>().find("not finite"), std::string::npos);
  EXPECT_NE(failure["cure"].get<std::string>().find("nothing was saved since"), std::string::npos);
  const TinyRun validated;
  EXPECT_EQ(validated.train(1, {"training.steps=1", "optimizer.lr=1e39"}), 4);
}

TEST(Train, AFinishedRunIsLeftAlone) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const std::string before = read_file(run.folder() / "summary.json");
  EXPECT_EQ(run.train(1), 0);
  EXPECT_EQ(read_file(run.folder() / "summary.json"), before);
  EXPECT_EQ(run.metrics("step").size(), 4U);
}

TEST(Train, CheckpointsKnowNoRankCountThreadOrPath) {
  const TinyRun a, b;
  ASSERT_EQ(a.train(1, {"training.global_batch_size=2", "training.grain_size=2"}),
            0);  // one grain: bits do not depend on ranks
  ASSERT_EQ(b.train(3, {"training.global_batch_size=2", "training.grain_size=2"}), 0);
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "config.json", "state.json", "manifest.json"}) {
    const Path path = Path("checkpoint") / "step-00000004" / file;
    EXPECT_EQ(read_file(a.folder() / path), read_file(b.folder() / path)) << file;
  }
}

TEST(Train, ResumeNeverStartsFromScratch) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const Json first = run.summary();
  TrainOptions options = run.options({"optimizer.lr=2e-2"});
  options.resume = Resume::never;
  ASSERT_EQ(TinyRun::start(1, options), 0);
  EXPECT_NE(run.summary()["params_hash"], first["params_hash"]);
  EXPECT_EQ(run.metrics("step").size(), 4U);
}

TEST(Train, ResumeFromTheFolderOfAnotherRun) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  TrainOptions options = run.options({"training.steps=6"});
  options.resolved.config.output.dir = (run / "other").string();
  options.resume = Resume::folder;
  options.resume_from = run.folder();
  ASSERT_EQ(TinyRun::start(1, options), 0);
  const Json other = Json::parse(read_file(run / "other" / "summary.json"));
  ASSERT_EQ(run.train(1, {"training.steps=6"}), 0);
  EXPECT_EQ(other["params_hash"], run.summary()["params_hash"]);
}

}  // namespace
}  // namespace ringmaster::train
