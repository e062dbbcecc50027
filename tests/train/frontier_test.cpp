// SPDX-License-Identifier: Apache-2.0
// The frontier and the advice of a plan: what they promise is what a plan of that configuration says.
#include "train/frontier.h"

#include "tests/train/tiny_run.h"
#include "train/machine.h"
#include "train/plan_report.h"

namespace ringmaster::train {
namespace {

const char* const gpt =
    "model: {layers: 3, heads: 2, width: 32, dropout: 0.1}\n"
    "training: {steps: 6, seq_len: 32, global_batch_size: 8, grain_size: 8}\n";
const char* const critic =
    "model: {recipe: wgan_gp, layers: 4, width: 64, critic_steps: 2}\n"
    "data: {source: generated, set: eight_gaussians}\n"
    "training: {steps: 6, global_batch_size: 64, grain_size: 64}\n";

ProgramOptions programs() { return {.train = true, .validation = true, .threads = 1}; }

// `arena` bytes of a rank, 0: what the machine grants.
PlanReport plan_with(const TinyRun& run, std::vector<std::string> sets, int64_t arena = 0) {
  return plan(run.resolved(sets), {.memory_bytes = arena > 0 ? process_bytes(arena, 1) : 0});
}
std::vector<std::string> budget(int64_t bytes) {
  return {"activation_checkpoint.mode=budget", fmt::format("activation_checkpoint.budget={}", bytes)};
}

TEST(Frontier, IsWhatPlansOfItsBudgetsSay) {
  for (const char* yaml : {gpt, critic}) {
    const TinyRun run(yaml);
    const cost::Table costs;
    Frontier frontier(run.resolved().config, programs(), costs);
    const std::vector<FrontierPoint> points = frontier.points(3);
    ASSERT_EQ(points.size(), 3U);
    EXPECT_EQ(points.front().budget_bytes, frontier.none());
    EXPECT_EQ(points.back().budget_bytes, frontier.least());
    const PlanReport none = plan_with(run, {});
    EXPECT_EQ(points.front().peak_bytes, none.per_rank[0].peak_bytes);
    EXPECT_EQ(points.front().step_seconds, none.predicted_step_seconds);
    for (size_t i = 1; i < points.size(); ++i) {
      EXPECT_LE(points[i].budget_bytes, points[i - 1].budget_bytes);
      EXPECT_GE(points[i].step_seconds, points[i - 1].step_seconds);
    }
    const PlanReport middle = plan_with(run, budget(points.back().budget_bytes));
    EXPECT_EQ(middle.per_rank[0].peak_bytes, points.back().peak_bytes);
    EXPECT_NEAR(middle.predicted_step_seconds, points.back().step_seconds, 1e-12);
  }
}

TEST(Frontier, WithinIsTheFastestThatFits) {
  const TinyRun run(gpt);
  const cost::Table costs;
  Frontier frontier(run.resolved().config, programs(), costs);
  const FrontierPoint most = frontier.at(frontier.none()), least = frontier.at(frontier.least());
  ASSERT_LT(least.peak_bytes, most.peak_bytes);
  EXPECT_EQ(frontier.within(most.peak_bytes)->budget_bytes, frontier.none());
  const int64_t limit = (least.peak_bytes + most.peak_bytes) / 2;
  const auto found = frontier.within(limit);
  ASSERT_TRUE(found.has_value());
  EXPECT_LE(found->peak_bytes, limit);
  EXPECT_LE(found->step_seconds, least.step_seconds);
  EXPECT_FALSE(frontier.within(least.peak_bytes - 1).has_value());
}

TEST(Advice, FitsAndKeepsTheBitsWhereRecomputeSuffices) {
  const TinyRun run(gpt);
  const int64_t none = plan_with(run, {}).per_rank[0].peak_bytes, limit = none - none / 20;
  EXPECT_TRUE(plan_with(run, {}, none).advice.empty());
  const PlanReport report = plan_with(run, {}, limit);
  EXPECT_FALSE(report.fits);
  ASSERT_EQ(report.advice.size(), 1U);
  EXPECT_FALSE(report.advice[0].changes_bits);
  const PlanReport advised = plan_with(run, report.advice[0].set, limit);
  EXPECT_TRUE(advised.fits);
  EXPECT_EQ(advised.per_rank[0].peak_bytes, report.advice[0].peak_bytes);
}

TEST(Advice, NamesEachChangeThatSufficesElseAllThatIsNeeded) {
  const TinyRun run(gpt);
  const cost::Table costs;
  Frontier frontier(run.resolved().config, programs(), costs);
  const int64_t least = frontier.at(frontier.least()).peak_bytes;
  for (const int64_t limit : {least - 64, least / 2 + least / 8}) {
    const PlanReport report = plan_with(run, {}, limit);
    ASSERT_FALSE(report.advice.empty()) << limit;
    for (const Advice& advice : report.advice) {
      EXPECT_TRUE(advice.changes_bits);
      EXPECT_TRUE(plan_with(run, advice.set, limit).fits) << fmt::format("{}", fmt::join(advice.set, " "));
      for (size_t left_out = 0; left_out < advice.set.size(); ++left_out) {
        std::vector<std::string> fewer;
        for (size_t i = 0; i < advice.set.size(); ++i)
          if (i != left_out && !advice.set[i].starts_with("activation_checkpoint.")) fewer.push_back(advice.set[i]);
        if (advice.set[left_out].starts_with("activation_checkpoint.")) continue;
        const PlanReport without = plan_with(run, fewer, limit);
        const bool recompute_does = !without.advice.empty() && !without.advice.front().changes_bits;
        EXPECT_FALSE(without.fits || recompute_does) << advice.set[left_out] << " is not needed";
      }
    }
  }
  EXPECT_TRUE(plan_with(run, {}, 64).advice.empty());  // nothing does
}

}  // namespace
}  // namespace ringmaster::train
