// SPDX-License-Identifier: Apache-2.0
// precision.master: split gives the run that f32 masters give, in less memory.
#include "tests/train/tiny_run.h"

#include "checkpoint/store.h"
#include "train/evaluate.h"
#include "train/session.h"

namespace ringmaster::train {
namespace {

using Sets = std::vector<std::string>;

Sets with(Sets sets, const Sets& more) {
  sets.insert(sets.end(), more.begin(), more.end());
  return sets;
}
const Sets whole{"precision.compute=bf16"}, split = with(whole, {"precision.master=split"});

// The same losses, weights and states. With the seeds given here no weight ever lies half-way between two bf16 numbers: there the
// bits may differ.
void expect_same_run(const TinyRun& a, const TinyRun& b) {
  EXPECT_EQ(a.losses(), b.losses());
  EXPECT_EQ(a.summary()["params_hash"], b.summary()["params_hash"]);
  EXPECT_EQ(a.summary()["state_hash"], b.summary()["state_hash"]);
  EXPECT_EQ(a.summary()["validation_loss"], b.summary()["validation_loss"]);
}

TEST(SplitMasters, GiveTheBitsOfF32Masters) {
  const Sets variants[] = {{"ema.decay=0.5"},
                           {"optimizer.name=sgd", "model.tied_embeddings=false", "training.seed=1"},
                           {"optimizer.name=adam", "optimizer.state=bf16_stochastic"}};
  for (const Sets& variant : variants) {
    for (const int ranks : {1, 2}) {
      const TinyRun a, b;
      ASSERT_EQ(a.train(ranks, with(whole, variant)), 0);
      ASSERT_EQ(b.train(ranks, with(split, variant)), 0);
      expect_same_run(a, b);
    }
  }
}

TEST(SplitMasters, AreThereForSeveralNetworks) {
  const char* const yaml =
      "model: {recipe: wgan_gp, width: 16, layers: 2, critic_steps: 2}\ndata: {source: generated}\n"
      "training: {steps: 3, global_batch_size: 8, seed: 1}\n";
  const TinyRun a(yaml), b(yaml);
  ASSERT_EQ(a.train(1, whole), 0);
  ASSERT_EQ(b.train(1, split), 0);
  expect_same_run(a, b);
}

TEST(SplitMasters, FuseChangesNoBit) {
  const TinyRun a, b;
  ASSERT_EQ(a.train(1, split), 0);
  TrainOptions options = b.options(split);
  options.disabled_passes = {"fuse", "canonicalise"};
  ASSERT_EQ(TinyRun::start(1, options), 0);
  EXPECT_EQ(a.summary()["state_hash"], b.summary()["state_hash"]);
}

TEST(SplitMasters, ResumingGivesTheSameBits) {
  const TinyRun run, parts;
  ASSERT_EQ(run.train(1, with(split, {"training.steps=6"})), 0);
  ASSERT_EQ(parts.train(1, with(split, {"training.steps=3"})), 0);
  ASSERT_EQ(parts.train(1, with(split, {"training.steps=6"})), 0);
  EXPECT_EQ(run.summary()["state_hash"], parts.summary()["state_hash"]);
}

TEST(SplitMasters, ARunIsResumedAsItBegan) {
  const TinyRun run;
  ASSERT_EQ(run.train(1, with(split, {"training.steps=2"})), 0);
  const ErrorInfo e = error_of([&] { check(run.options(with(whole, {"training.steps=3"}))); });
  EXPECT_EQ(e.key, "precision.master");
  EXPECT_EQ(e.expected, "split");
}

// Who loads it needs to know of no halves.
TEST(SplitMasters, ACheckpointHoldsWeightsInF32) {
  const TinyRun a, b;
  ASSERT_EQ(a.train(1, whole), 0);
  ASSERT_EQ(b.train(1, split), 0);
  const auto loaded = [](const TinyRun& run) { return checkpoint::latest(run.folder())->path; };
  EXPECT_TRUE(read_file(loaded(a) / "model.safetensors") == read_file(loaded(b) / "model.safetensors"));
  EXPECT_TRUE(read_file(loaded(a) / "optimizer.safetensors") == read_file(loaded(b) / "optimizer.safetensors"));
  const auto comm = comm::make_single();
  const Evaluation of_a = evaluate({.from = a.folder()}, *comm), of_b = evaluate({.from = b.folder()}, *comm);
  EXPECT_EQ(of_a.validation_loss, of_b.validation_loss);
  EXPECT_EQ(of_a.params_hash, of_b.params_hash);
}

TEST(SplitMasters, TakeTwoBytesAWeightLess) {
  const TinyRun run;
  const ProgramOptions options{.train = true, .validation = true, .sampler = true, .decoder = true};
  const Programs a = compile(run.resolved(whole).config, options), b = compile(run.resolved(split).config, options);
  EXPECT_EQ(a.layout.weight_bytes, b.layout.weight_bytes);
  EXPECT_EQ(a.layout.optimizer_bytes, b.layout.optimizer_bytes);
  EXPECT_GT(a.layout.master_bytes, 0);
  EXPECT_NEAR(static_cast<double>(b.layout.master_bytes) / static_cast<double>(a.layout.master_bytes), 0.5,
              0.01);  // places are multiples of 64 bytes
  EXPECT_EQ(a.layout.end - b.layout.end, a.layout.master_bytes - b.layout.master_bytes);
  const ProgramOptions train{.train = true};
  EXPECT_LT(compile(run.resolved(split).config, train).peak_bytes(),
            compile(run.resolved(whole).config, train).peak_bytes());
}

TEST(SplitMasters, AreOnlyThereForBf16) {
  for (const char* compute : {"f32", "f16"}) {
    const ErrorInfo e = error_of([&] {
      TinyRun().resolved({std::string("precision.compute=") + compute, "precision.master=split"});
    });
    EXPECT_EQ(e.kind, ErrorKind::config);
    EXPECT_EQ(e.key, "precision.master");
    EXPECT_EQ(e.found, "split");
    EXPECT_NE(e.expected.find("precision.compute is bf16"), std::string::npos) << e.expected;
    EXPECT_NE(e.cure.find("remove `precision.master`"), std::string::npos) << e.cure;
  }
}

}  // namespace
}  // namespace ringmaster::train
