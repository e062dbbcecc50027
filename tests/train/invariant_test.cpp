// SPDX-License-Identifier: Apache-2.0
// training.numerics: invariant: a run has the same bits however many ranks share its grains, with how many threads, and whatever is
// recomputed or fused on the way; how many steps were done again is the same too.
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <span>

namespace ringmaster::train {
namespace {

// What must not depend on how a run is spread: its hashes and its lines.
Json outcome(const TinyRun& run) {
  const Json summary = run.summary();
  Json lines = Json::array();
  for (const Json& line : run.metrics()) lines.push_back(deterministic(line));
  return {summary["params_hash"], summary["state_hash"], summary["redone_steps"], lines};
}

struct Spread {
  int ranks, ranks_per_node, threads;  // 0: all on one node; 1: they share no memory
  const char* recompute;
  const char* disabled;  // a pass
};

// Every pair of ranks with threads, with ways to recompute and with a pass left out that the others allow, in 14 runs; on one node, on
// nodes of 1, 2 or 3 ranks, and on nodes that are not of one size (5 on nodes of 3 and 2).
constexpr Spread all_spreads[] = {{2, 0, 1, "none", ""},
                                  {2, 1, 2, "selective", "fuse"},
                                  {3, 0, 1, "block", "fuse"},
                                  {3, 1, 2, "none", ""},
                                  {4, 2, 1, "budget", ""},
                                  {4, 0, 2, "block", "schedule"},
                                  {5, 0, 1, "selective", ""},
                                  {5, 3, 2, "budget", "fuse"},
                                  {6, 3, 1, "none", "reuse"},
                                  {6, 2, 2, "block", ""},
                                  {8, 0, 1, "none", "fuse"},
                                  {8, 4, 2, "budget", "reuse"},
                                  {1, 0, 2, "budget", "canonicalise"},
                                  {1, 0, 2, "selective", "fuse"}};
#ifdef __SANITIZE_ADDRESS__
constexpr auto spreads = std::span(all_spreads).subspan(2, 4);  // each takes many times as long
#else
constexpr auto spreads = std::span(all_spreads);
#endif

// Without a budget nothing is recomputed, whatever a spread says.
void expect_the_same_bits(const std::string& yaml, const std::string& budget) {
  const TinyRun alone(yaml);
  ASSERT_EQ(alone.train(1), 0);
  const Json expected = outcome(alone);
  for (const Spread& s : spreads) {
    const TinyRun run(yaml);
    std::vector<std::string> sets{fmt::format("launch.threads_per_rank={}", s.threads)};
    if (!budget.empty()) sets.push_back(fmt::format("activation_checkpoint.mode={}", s.recompute));
    if (!budget.empty() && s.recompute == std::string("budget"))
      sets.push_back("activation_checkpoint.budget=" + budget);
    TrainOptions options = run.options(sets);
    if (*s.disabled != 0) options.disabled_passes = {s.disabled};
    ASSERT_EQ(TinyRun::start(s.ranks, options, s.ranks_per_node), 0);
    EXPECT_EQ(outcome(run), expected) << s.ranks << " ranks, " << s.ranks_per_node << " a node, " << s.threads
                                      << " threads, recompute " << s.recompute << ", without " << s.disabled;
  }
}

// 7 grains, which no number of ranks but 1 shares evenly; a head of 256 classes, more than one task of every kind
TEST(Invariant, AGptHasTheSameBits) {
  expect_the_same_bits(
      "model: {layers: 2, heads: 2, width: 16}\n"
      "training: {steps: 20, seq_len: 8, global_batch_size: 14, grain_size: 2}\noptimizer: {lr: 1e-2}\n",
      "60%");
}

TEST(Invariant, WithDropoutTiedWeightsAnAverageAnd16Bits) {
  expect_the_same_bits(
      "model: {layers: 2, heads: 2, width: 16, dropout: 0.1, tied_embeddings: true}\n"
      "precision: {compute: bf16}\nema: {decay: 0.9}\n"
      "training: {steps: 20, seq_len: 8, global_batch_size: 8, grain_size: 1}\noptimizer: {lr: 1e-2}\n",
      "100%");
}

TEST(Invariant, WithScaledLossesAndAsFewGrainsAsRanks) {
  expect_the_same_bits(
      "model: {layers: 1, heads: 2, width: 16, tied_embeddings: false}\nprecision: {compute: f16}\n"
      "training: {steps: 20, seq_len: 8, global_batch_size: 3, grain_size: 1}\noptimizer: {name: sgd, lr: 1e-2}\n",
      "100%");
}

TEST(Invariant, TwoNetworksHaveTheSameBits) {
  expect_the_same_bits(
      "model: {recipe: wgan_gp, width: 16, layers: 2, critic_steps: 2}\ndata: {source: generated}\n"
      "training: {steps: 20, global_batch_size: 24, grain_size: 4}\nvalidation: {interval: 10}\n",
      "");
}

TEST(Invariant, TheFirstStepAloneIsDoneAgainWhereGradientsAreCalm) {
  const TinyRun run;
  ASSERT_EQ(run.train(2, {"training.steps=6"}), 0);
  std::vector<bool> redone;
  for (const Json& line : run.metrics("step")) redone.push_back(line["redone"].get<bool>());
  EXPECT_EQ(redone, (std::vector<bool>{true, false, false, false, false, false}));
  EXPECT_EQ(run.summary()["redone_steps"], 1);
  EXPECT_EQ(run.summary()["numerics"], "invariant");
  EXPECT_EQ(run.summary()["wire"], "int32");
}

// Steps far too long: gradients outgrow the grids that their past decided.
TEST(Invariant, AStepWhoseGradientsOutgrowTheirGridsIsDoneAgain) {
  const std::string yaml =
      "model: {layers: 2, heads: 2, width: 16}\n"
      "training: {steps: 6, seq_len: 8, global_batch_size: 6, grain_size: 1, max_norm: 0}\n"
      "optimizer: {name: sgd, lr: 3, momentum: 0.9}\n";
  const TinyRun alone(yaml);
  ASSERT_EQ(alone.train(1), 0);
  EXPECT_GT(alone.summary()["redone_steps"], 1);
  for (const int ranks : {2, 4}) {
    const TinyRun run(yaml);
    ASSERT_EQ(run.train(ranks), 0);
    EXPECT_EQ(outcome(run), outcome(alone)) << ranks;
  }
}

TEST(Invariant, FastAddsFloats) {
  const TinyRun fast, invariant;
  ASSERT_EQ(fast.train(2, {"training.numerics=fast"}), 0);
  ASSERT_EQ(invariant.train(2), 0);
  EXPECT_EQ(fast.summary()["redone_steps"], 0);
  EXPECT_EQ(fast.summary()["wire"], "f32");
  const std::vector<double> a = fast.losses(), b = invariant.losses();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << i;
}

}  // namespace
}  // namespace ringmaster::train
