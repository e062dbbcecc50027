// SPDX-License-Identifier: Apache-2.0
// Gradient checkpointing changes memory and time, and no bit: losses, gradients and weights of every mode are those of mode none.
#include "tests/train/tiny_run.h"
#include "train/plan_report.h"

namespace ringmaster::train {
namespace {

const char* const gpt =
    "model: {layers: 5, heads: 2, width: 16, dropout: 0.1}\n"
    "training: {steps: 6, seq_len: 8, global_batch_size: 6, grain_size: 2}\n"
    "optimizer: {lr: 1e-2}\n"
    "ema: {decay: 0.9}\n";
const char* const critic =
    "model: {recipe: wgan_gp, layers: 4, width: 16, critic_steps: 2}\n"
    "data: {source: generated, set: eight_gaussians}\n"
    "training: {steps: 6, global_batch_size: 6, grain_size: 2}\n"
    "optimizer: {lr: 1e-2}\n";

std::string without_places(const TinyRun& run) {
  std::string out;
  for (const Json& line : run.metrics()) out += deterministic(line).dump() + "\n";
  return out;
}

// "none", "block", "selective", or a share of the activations of mode none
std::vector<std::string> sets_of(std::vector<std::string> sets, const std::string& mode) {
  const bool budget = mode.ends_with('%');
  sets.push_back("activation_checkpoint.mode=" + (budget ? "budget" : mode));
  if (budget) sets.push_back("activation_checkpoint.budget=" + mode);
  return sets;
}

TEST(Recompute, ChangesNoBit) {
  struct Case {
    const char* yaml;
    std::vector<std::string> sets;
  };
  for (const Case& c : {Case{gpt, {}}, Case{gpt, {"model.dropout=0"}}, Case{gpt, {"precision.compute=bf16"}},
                        Case{gpt, {"precision.compute=f16", "model.loss_head=vocabulary"}}, Case{critic, {}}}) {
    std::string lines, hash;
    for (const char* mode : {"none", "block", "selective", "90%", "75%", "60%", "50%", "40%"}) {
      const TinyRun run(c.yaml);
      const int code = run.train(1, sets_of(c.sets, mode));
      if (code == 3 && mode[1] == '0') break;  // less than the least: refused, as the smaller ones are
      ASSERT_EQ(code, 0) << mode;
      const std::string hash_now = run.summary()["state_hash"];
      if (hash.empty()) {
        hash = hash_now;
        lines = without_places(run);
      }
      EXPECT_EQ(hash_now, hash) << mode;
      EXPECT_EQ(without_places(run), lines) << mode;
      EXPECT_EQ(run.summary()["peak_bytes_planned"], run.summary()["peak_bytes_measured"]) << mode;
    }
  }
}

// What a plan says of a budget is what the program of a run has.
TEST(Recompute, ABudgetBelowTheLeastIsRefusedWithTheLeast) {
  const TinyRun run(gpt);
  const auto refused = error_of([&] { plan(run.resolved(sets_of({}, "1%")), {}); });
  EXPECT_EQ(refused.kind, ErrorKind::memory);
  EXPECT_EQ(refused.key, "activation_checkpoint.budget");
  ASSERT_TRUE(refused.expected.starts_with("at least ")) << refused.expected;
  const std::string least = refused.expected.substr(9, refused.expected.find(' ', 9) - 9);
  const auto with = [&](const std::string& bytes) {
    return run.resolved({"activation_checkpoint.mode=budget", "activation_checkpoint.budget=" + bytes});
  };
  const PlanReport report = plan(with(least), {});
  EXPECT_EQ(std::to_string(report.recompute.activation_bytes), least);
  EXPECT_EQ(report.recompute.minimum_budget_bytes, report.recompute.activation_bytes);
  EXPECT_GT(report.recompute.extra_seconds, 0);
  EXPECT_GE(report.recompute.extra_seconds, *report.recompute.lower_bound_seconds);
  error_of([&] { plan(with(std::to_string(std::stoll(least) - 1)), {}); });
}

TEST(Recompute, ThePlanListsWhatIsMadeAgain) {
  const TinyRun run(gpt);
  const PlanReport none = plan(run.resolved(sets_of({}, "none")), {});
  EXPECT_TRUE(none.recompute.items.empty());
  EXPECT_EQ(none.recompute.extra_seconds, 0);
  EXPECT_EQ(none.recompute.activation_bytes, none.recompute.bytes_of_none);
  const PlanReport block = plan(run.resolved(sets_of({}, "block")), {});
  EXPECT_EQ(block.recompute.bytes_of_none, none.recompute.bytes_of_none);
  EXPECT_LT(block.recompute.activation_bytes, none.recompute.activation_bytes);
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
