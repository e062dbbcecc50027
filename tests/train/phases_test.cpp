// SPDX-License-Identifier: Apache-2.0
// Recipes of several phases: what repeats, what reads new samples, what is averaged, frozen or clamped.
#include "checkpoint/store.h"
#include "comm/comm.h"
#include "tests/train/tiny_run.h"
#include "train/evaluate.h"
#include "train/plan_report.h"
#include "train/sample.h"
#include "train/saved.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

namespace ringmaster::train {
namespace {

const std::string gan =
    "model: {recipe: wgan_gp, layers: 2, width: 16, critic_steps: 3}\n"
    "training: {steps: 4, global_batch_size: 12, grain_size: 2, max_norm: 0}\n"
    "data: {source: generated}\n"
    "optimizer:\n  name: adam\n  lr: 1e-2\n  beta1: 0.5\n  weight_decay: 0\n";

// Goes on with a configuration whose last section is the optimizer.
std::string with_group(const std::string& group) { return fmt::format("  groups: [{{{}}}]\n", group); }

std::vector<float> tensor(const TinyRun& run, checkpoint::Kind kind, const std::string& name) {
  const checkpoint::Loaded loaded = checkpoint::open(locate(run.folder()));
  const checkpoint::TensorEntry* entry = loaded.find(kind, name);
  if (entry == nullptr) return {};
  const auto* values = static_cast<const float*>(entry->data);
  return {values, values + entry->shape.elements()};
}

TEST(Phases, RankCountsAgree) {
  const TinyRun one(gan);
  ASSERT_EQ(one.train(1, {"training.steps=10"}), 0);
  const std::vector<Json> expected = one.metrics("step");
  for (const int ranks : {2, 3, 5}) {
    const TinyRun run(gan);
    ASSERT_EQ(run.train(ranks, {"training.steps=10"}), 0);
    const std::vector<Json> lines = run.metrics("step");
    ASSERT_EQ(lines.size(), expected.size());
    for (size_t i = 0; i < lines.size(); ++i)
      for (const char* phase : {"critic", "generator"})
        EXPECT_NEAR(lines[i]["losses"][phase].get<double>(), expected[i]["losses"][phase].get<double>(), 1e-4)
            << ranks << " ranks, step " << i + 1;
    const Json summary = run.summary();
    EXPECT_EQ(summary["wire_bytes_sent_planned"], summary["wire_bytes_sent_measured"]);
    EXPECT_EQ(summary["peak_bytes_planned"], summary["peak_bytes_measured"]);
    const PlanReport planned = plan(run.resolved(), {.ranks = ranks, .threads = 1});
    int64_t bytes = 0;
    for (const RankPlan& rank : planned.per_rank) bytes += rank.wire_bytes_sent;
    EXPECT_EQ(lines.back()["wire_bytes_sent"], bytes);
  }
}

TEST(Phases, LossIsTheFirstPhasesAndSamplesAreThoseOfAllRepeats) {
  const TinyRun run(gan);
  ASSERT_EQ(run.train(2), 0);
  const std::vector<Json> lines = run.metrics("step");
  ASSERT_EQ(lines.size(), 4U);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["loss"], lines[i]["losses"]["critic"]);
    EXPECT_NE(lines[i]["loss"], lines[i]["losses"]["generator"]);
    EXPECT_GE(lines[i]["grad_norm"].get<double>(), 0.0);
    EXPECT_EQ(lines[i]["sample_first"], 36 * i);  // 3 repeats of 12 new points; the generator reads none
    EXPECT_EQ(lines[i]["sample_end"], 36 * (i + 1));
  }
}

TEST(Phases, ResumingGivesTheSameBits) {
  const TinyRun whole(gan), parts(gan);
  const std::vector<std::string> sets{"ema.decay=0.9", "checkpoint.interval=3", "validation.interval=3",
                                      "training.steps=6"};
  ASSERT_EQ(whole.train(2, sets), 0);
  auto half = sets;
  half.back() = "training.steps=3";
  ASSERT_EQ(parts.train(2, half), 0);
  ASSERT_EQ(parts.train(2, sets), 0);
  EXPECT_EQ(whole.summary()["state_hash"], parts.summary()["state_hash"]);
}

TEST(Phases, AverageFollowsTheWeights) {
  const TinyRun start(gan), run(gan);  // a rate of 0 leaves the weights where they begin
  ASSERT_EQ(start.train(1, {"training.steps=1", "optimizer.lr=0", "ema.decay=0.75"}), 0);
  ASSERT_EQ(run.train(1, {"training.steps=1", "ema.decay=0.75"}), 0);
  const std::string name = "generator.1.weight";
  const std::vector<float> before = tensor(start, checkpoint::Kind::model, name),
                           after = tensor(run, checkpoint::Kind::model, name),
                           average = tensor(run, checkpoint::Kind::ema, name);
  ASSERT_EQ(average.size(), before.size());
  EXPECT_EQ(tensor(start, checkpoint::Kind::ema, name), before);
  double moved = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_NEAR(average[i], 0.75F * before[i] + 0.25F * after[i], 1e-6F);
    moved += std::abs(static_cast<double>(after[i] - before[i]));
  }
  EXPECT_GT(moved, 1e-3);
  EXPECT_TRUE(tensor(run, checkpoint::Kind::ema, "critic.1.weight").empty()) << "only the generator is averaged";
}

TEST(Phases, FrozenParametersKeepTheirBitsAndAreNotSent) {
  const std::string yaml =
      "model: {layers: 2, heads: 2, width: 16}\n"
      "training: {steps: 3, seq_len: 8, global_batch_size: 6, grain_size: 2}\n"
      "optimizer:\n  lr: 1e-2\n";
  const TinyRun run(yaml), start(yaml), frozen(yaml + with_group("match: '\\.h\\.0\\.', frozen: true"));
  ASSERT_EQ(run.train(2), 0);
  ASSERT_EQ(frozen.train(2), 0);
  const int64_t bytes_read = run.summary()["node_bytes_read_measured"][0].get<int64_t>() -
                             frozen.summary()["node_bytes_read_measured"][0].get<int64_t>();
  ASSERT_EQ(start.train(1, {"training.steps=1", "optimizer.lr=0"}), 0);
  const auto model = [](const TinyRun& r, const std::string& name) { return tensor(r, checkpoint::Kind::model, name); };
  const std::string first = "transformer.h.0.mlp.c_fc.weight", second = "transformer.h.1.mlp.c_fc.weight";
  EXPECT_EQ(model(frozen, first), model(start, first));
  EXPECT_NE(model(frozen, second), model(start, second));
  EXPECT_NE(model(run, first), model(start, first));
  EXPECT_TRUE(tensor(frozen, checkpoint::Kind::optimizer, first + ".first_moment").empty());
  EXPECT_FALSE(tensor(frozen, checkpoint::Kind::optimizer, second + ".first_moment").empty());
  // a block of width C has 12 C^2 + 13 C gradients
  const int64_t C = 16, gradients = 4 * (12 * C * C + 13 * C), ranks = 2;
  EXPECT_NEAR(static_cast<double>(bytes_read), static_cast<double>(4 * gradients / ranks),
              4096.0);  // 3 steps, one twice
  const TinyRun sends(yaml), sends_less(yaml + with_group("match: '\\.h\\.0\\.', frozen: true"));
  ASSERT_EQ(sends.train(2, {"comm.shared_memory=false"}), 0);
  ASSERT_EQ(sends_less.train(2, {"comm.shared_memory=false"}), 0);
  EXPECT_EQ(sends_less.summary()["state_hash"], frozen.summary()["state_hash"]);
  const auto sent = [](const TinyRun& r) { return r.metrics("step").back()["wire_bytes_sent"].get<int64_t>(); };
  EXPECT_NEAR(static_cast<double>(sent(sends) - sent(sends_less)), static_cast<double>(2 * (ranks - 1) * gradients),
              2048.0);
}

TEST(Phases, FreezingEverythingIsRefusedAtItsLine) {
  const TinyRun run(gan + with_group("match: ^critic, frozen: true"));
  const ErrorInfo e = error_of([&] { check(run.options()); });
  EXPECT_EQ(e.key, "optimizer.groups");
  EXPECT_EQ(e.line, 9);
  EXPECT_NE(e.message.find("phase critic"), std::string::npos) << e.message;
}

TEST(Phases, GroupsThatDecideNothingAreRefused) {
  const auto problem = [](const std::string& group) {
    const TinyRun run(gan + with_group(group));
    return error_of([&] { check(run.options()); });
  };
  const ErrorInfo nothing = problem("match: critc, frozen: true");
  EXPECT_EQ(nothing.line, 9);
  EXPECT_NE(nothing.message.find("groups[0]"), std::string::npos) << nothing.message;
  const ErrorInfo shadowed = problem("match: ^critic}, {match: 'critic.0', lr_factor: 2");
  EXPECT_NE(shadowed.message.find("groups[1]"), std::string::npos) << shadowed.message;
  EXPECT_NE(problem("match: ^critic, name: sgd, beta1: 0.5").message.find("ignored"), std::string::npos);
  EXPECT_NE(problem("match: 'critic.0', frozen: true, lr_factor: 2").message.find("ignored"), std::string::npos);
}

TEST(Phases, GroupsHaveUpdateRulesOfTheirOwn) {
  const TinyRun run(gan + with_group("match: ^critic, name: sgd, lr_factor: 0.5"));
  ASSERT_EQ(run.train(1, {"training.steps=1"}), 0);
  EXPECT_FALSE(tensor(run, checkpoint::Kind::optimizer, "critic.0.weight.velocity").empty());
  EXPECT_TRUE(tensor(run, checkpoint::Kind::optimizer, "critic.0.weight.first_moment").empty());
  EXPECT_FALSE(tensor(run, checkpoint::Kind::optimizer, "generator.0.weight.first_moment").empty());
}

TEST(Phases, ClampedWeightsStayInTheirRange) {
  const TinyRun run(gan);
  ASSERT_EQ(run.train(1, {"model.weight_clip=0.05", "model.gradient_penalty=0"}), 0);
  float largest = 0;
  for (const float w : tensor(run, checkpoint::Kind::model, "critic.1.weight"))
    largest = std::max(largest, std::abs(w));
  EXPECT_EQ(largest, 0.05F);
  for (const float w : tensor(run, checkpoint::Kind::model, "generator.1.weight"))
    largest = std::max(largest, std::abs(w));
  EXPECT_GT(largest, 0.05F);
}

TEST(Phases, DataOfAnotherKindIsRefusedAtItsKey) {
  const TinyRun run(gan);
  const ErrorInfo source = error_of([&] { check(run.options({"model.recipe=language_model"})); });
  EXPECT_EQ(source.key, "data.source");
  EXPECT_NE(source.message.find("tokens i32[128]"), std::string::npos) << source.message;
  const ErrorInfo second = error_of([&] { check(run.options({"model.recipe=wasserstein", "model.critic_steps=5"})); });
  EXPECT_EQ(second.key, "data.other_set");
  const ErrorInfo unread = error_of([&] { check(run.options({"data.other_set=two_moons"})); });
  EXPECT_EQ(unread.key, "data.other_set");
  EXPECT_NE(unread.message.find("reads one set"), std::string::npos) << unread.message;
}

TEST(Phases, EvaluationIsTheRunsOwn) {
  const TinyRun run(gan);
  ASSERT_EQ(run.train(2), 0);
  const auto comm = comm::make_single();
  const Evaluation e = evaluate({.from = run.folder()}, *comm);
  EXPECT_EQ(e.validation_tokens, 1024);
  EXPECT_EQ(e.items, "points");
  EXPECT_NEAR(e.validation_loss, run.summary()["validation_loss"].get<double>(), 1e-5);
  EXPECT_EQ(error_of([&] { evaluate({.from = run.folder(), .data = "book.txt"}, *comm); }).key, "--data");
  EXPECT_EQ(error_of([&] { evaluate({.from = run.folder(), .sets = {"data.other_set=grid25"}}, *comm); }).key,
            "data.other_set");
  EXPECT_TRUE(run.summary()["best_validation_loss"].is_null()) << "a critic's estimate ranks no step";
}

}  // namespace
}  // namespace ringmaster::train
