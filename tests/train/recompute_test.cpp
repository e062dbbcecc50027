// SPDX-License-Identifier: Apache-2.0
// Gradient checkpointing changes memory and time, and no bit: losses, gradients and weights of every mode are those of mode none.
#include "tests/train/tiny_run.h"
#include "train/frontier.h"
#include "train/plan_report.h"

namespace ringmaster::train {
namespace {

const char* const gpt =
    "model: {layers: 3, heads: 2, width: 16, dropout: 0.1}\n"
    "training: {steps: 4, seq_len: 8, global_batch_size: 6, grain_size: 2}\n"
    "optimizer: {lr: 1e-2}\n"
    "ema: {decay: 0.9}\n";
const char* const critic =
    "model: {recipe: wgan_gp, layers: 4, width: 16, critic_steps: 2}\n"
    "data: {source: generated, set: eight_gaussians}\n"
    "training: {steps: 3, global_batch_size: 6, grain_size: 2}\n"
    "optimizer: {lr: 1e-2}\n";

std::string without_places(const TinyRun& run) {
  std::string out;
  for (const Json& line : run.metrics()) out += deterministic(line).dump() + "\n";
  return out;
}

std::vector<std::string> with_mode(std::vector<std::string> sets, const std::string& mode) {
  sets.push_back("activation_checkpoint.mode=" + mode);
  return sets;
}
std::vector<std::string> with_budget(std::vector<std::string> sets, const std::string& budget) {
  sets.push_back("activation_checkpoint.budget=" + budget);
  return with_mode(std::move(sets), "budget");
}

// The modes, the least budget and one half way to what mode none needs.
std::vector<std::vector<std::string>> all_ways(const TinyRun& run, const std::vector<std::string>& sets) {
  std::vector<std::vector<std::string>> out;
  for (const char* mode : {"none", "block", "selective"}) out.push_back(with_mode(sets, mode));
  const cost::Table costs;
  const Frontier frontier(run.resolved(sets).config, {.train = true, .threads = 1}, costs);
  EXPECT_LE(frontier.least(), frontier.none());  // as much where slopes are differentiated again
  for (const int64_t bytes : {frontier.least(), (frontier.least() + frontier.none()) / 2})
    out.push_back(with_budget(sets, std::to_string(bytes)));
  return out;
}

TEST(Recompute, ChangesNoBit) {
  struct Case {
    const char* yaml;
    std::vector<std::string> sets;
    int ranks;
  };
  for (const Case& c : {Case{gpt, {}, 2}, Case{gpt, {"precision.compute=bf16", "model.dropout=0"}, 1},
                        Case{gpt, {"precision.compute=f16", "model.loss_head=vocabulary"}, 1}, Case{critic, {}, 1}}) {
    std::string lines, hash;
    for (const std::vector<std::string>& sets : all_ways(TinyRun(c.yaml), c.sets)) {
      SCOPED_TRACE(fmt::format("{}", fmt::join(sets, " ")));
      const TinyRun run(c.yaml);
      ASSERT_EQ(run.train(c.ranks, sets), 0);
      const std::string hash_now = run.summary()["state_hash"];
      if (hash.empty()) {
        hash = hash_now;
        lines = without_places(run);
      }
      EXPECT_EQ(hash_now, hash);
      EXPECT_EQ(without_places(run), lines);
      EXPECT_EQ(run.summary()["peak_bytes_planned"], run.summary()["peak_bytes_measured"]);
    }
  }
}

TEST(Recompute, ARunGoesOnInAnotherMode) {
  const TinyRun whole(gpt), parts(gpt);
  ASSERT_EQ(whole.train(1), 0);
  ASSERT_EQ(parts.train(1, with_mode({"training.steps=1"}, "block")), 0);
  ASSERT_EQ(parts.train(1, with_mode({"training.steps=2"}, "selective")), 0);
  ASSERT_EQ(parts.train(1, with_budget({}, "90%")), 0);
  EXPECT_EQ(parts.summary()["state_hash"], whole.summary()["state_hash"]);
}

// What a plan says of a budget is what the program of a run has.
TEST(Recompute, ABudgetBelowTheLeastIsRefusedWithTheLeast) {
  const TinyRun run(gpt);
  const auto refused = error_of([&] { plan(run.resolved(with_budget({}, "1%")), {}); });
  EXPECT_EQ(refused.kind, ErrorKind::memory);
  EXPECT_EQ(refused.key, "activation_checkpoint.budget");
  ASSERT_TRUE(refused.expected.starts_with("at least ")) << refused.expected;
  const std::string least = refused.expected.substr(9, refused.expected.find(' ', 9) - 9);
  const auto with = [&](const std::string& bytes) { return run.resolved(with_budget({}, bytes)); };
  const PlanReport report = plan(with(least), {});
  EXPECT_EQ(std::to_string(report.recompute.activation_bytes), least);
  EXPECT_EQ(report.recompute.minimum_budget_bytes, report.recompute.activation_bytes);
  EXPECT_GT(report.recompute.extra_seconds, 0);
  error_of([&] { plan(with(std::to_string(std::stoll(least) - 1)), {}); });
}

// A penalty on slopes goes through forward twice, and keeps more where less is saved.
TEST(Recompute, NoModeTakesMoreMemoryThanNone) {
  for (const char* yaml : {gpt, critic}) {
    for (const char* width : {"2", "16", "64"}) {
      const TinyRun run(yaml);
      const std::vector<std::string> sets{fmt::format("model.width={}", width)};
      const int64_t none = plan(run.resolved(with_mode(sets, "none")), {}).recompute.activation_bytes;
      for (const char* mode : {"block", "selective"})
        EXPECT_LE(plan(run.resolved(with_mode(sets, mode)), {}).recompute.activation_bytes, none)
            << mode << " " << width;
    }
  }
}

TEST(Recompute, ThePlanListsWhatIsMadeAgain) {
  const TinyRun run(gpt);
  const PlanReport none = plan(run.resolved(with_mode({}, "none")), {});
  EXPECT_TRUE(none.recompute.items.empty());
  EXPECT_EQ(none.recompute.extra_seconds, 0);
  EXPECT_EQ(none.recompute.activation_bytes, none.recompute.bytes_of_none);
  const PlanReport block = plan(run.resolved(with_mode({}, "block")), {});
  EXPECT_EQ(block.recompute.bytes_of_none, none.recompute.bytes_of_none);
  EXPECT_LT(block.recompute.activation_bytes, none.recompute.activation_bytes);
  EXPECT_EQ(none.recompute.saved_bytes, none.recompute.saved_bytes_of_none);
  EXPECT_EQ(block.recompute.saved_bytes_of_none, none.recompute.saved_bytes_of_none);
  EXPECT_LT(block.recompute.saved_bytes, none.recompute.saved_bytes);
  EXPECT_EQ(block.recompute.step_seconds, none.recompute.step_seconds);
  double seconds = 0;
  for (const auto& item : block.recompute.items) seconds += item.seconds_added;
  EXPECT_NEAR(seconds, block.recompute.extra_seconds, 1e-9 * seconds);
  const Json json = to_json(block);
  EXPECT_EQ(json["recompute"]["mode"], "block");
  EXPECT_EQ(json["recompute"]["items"].size(), block.recompute.items.size());
  EXPECT_TRUE(json["recompute"]["gap"].is_null());
}

}  // namespace
}  // namespace ringmaster::train
