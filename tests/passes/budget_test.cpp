// SPDX-License-Identifier: Apache-2.0
// budget: tags that keep a program's activations within a number of bytes.
#include "passes/budget.h"

#include "passes/work.h"
#include "tests/passes/blocks.h"

#include <gtest/gtest.h>

#include <set>

namespace ringmaster::passes {
namespace {

int64_t obeying(const ir::Graph& graph, const Budget& budget, const Budget::Found& found) {
  ir::Graph obeys = graph;
  budget.set_tags(obeys, found.tags);
  recompute(obeys, {});
  ir::verify(obeys, "recompute");
  return activation_bytes(obeys);
}

TEST(Budget, IsKeptToTheByteAndMoreOfItCostsLessTime) {
  for (const int count : {1, 2, 5, 12}) {
    const ir::Graph graph = mlp_blocks(count);
    const cost::Table costs;
    Budget budget(graph, 0, costs);
    const int64_t least = budget.least().bytes, none = budget.bytes_of_none();
    double before = std::numeric_limits<double>::infinity();
    for (int k = 0; k <= 20; ++k) {
      const int64_t bytes = least + (none - least) * k / 20;
      const auto found = budget.within(bytes);
      ASSERT_TRUE(found.has_value()) << count << " blocks, " << bytes;
      EXPECT_LE(found->bytes, bytes);
      EXPECT_EQ(obeying(graph, budget, *found), found->bytes);
      EXPECT_LE(found->extra, before);
      EXPECT_LE(*found->lower_bound, found->extra);
      before = found->extra;
    }
    EXPECT_EQ(before, 0) << count << " blocks within what mode none needs";
    EXPECT_FALSE(budget.within(least - 1).has_value());
  }
}

// What the planner's numbers say of a plan is what the graph that obeys has, up to a unit a segment.
TEST(Budget, TheModelIsNearWhatTheGraphHas) {
  const ir::Graph graph = mlp_blocks(8);
  const cost::Table costs;
  Budget budget(graph, 0, costs);
  for (const double share : {0.3, 0.5, 0.8}) {
    const auto found = budget.within(static_cast<int64_t>(share * static_cast<double>(budget.bytes_of_none())));
    ASSERT_TRUE(found.has_value());
    EXPECT_LE(found->extra, *found->lower_bound * 1.25 + 1e-9) << share;
  }
}

// Long models: the rows of equal runs are shared.
TEST(Budget, OfManyBlocksIsFoundToo) {
  const ir::Graph graph = mlp_blocks(120, 8, 8);
  const cost::Table costs;
  Budget budget(graph, 0, costs);
  EXPECT_LT(6 * budget.least().bytes, budget.bytes_of_none());
}

// One block's values and the ends of the others: less than a third of all for a dozen of blocks.
TEST(Budget, TheLeastIsFarBelowAll) {
  const ir::Graph graph = mlp_blocks(12);
  const cost::Table costs;
  Budget budget(graph, 0, costs);
  EXPECT_LT(3 * budget.least().bytes, budget.bytes_of_none());
}

TEST(Budget, OfTheSameBytesIsTheSameWhateverWasAskedBefore) {
  const ir::Graph graph = mlp_blocks(7);
  const cost::Table costs;
  Budget asked(graph, 0, costs);
  for (int64_t bytes = asked.bytes_of_none(); bytes > asked.least().bytes; bytes = bytes * 9 / 10) {
    Budget fresh(graph, 0, costs);
    EXPECT_EQ(asked.within(bytes)->tags, fresh.within(bytes)->tags) << bytes;
  }
}

// What does within fewer bytes does within more, and what is called the least is the least that is found.
TEST(Budget, IsNeverSlowerWithMore) {
  for (const int count : {1, 2, 5}) {
    const ir::Graph graph = mlp_blocks(count);
    const cost::Table costs;
    Budget budget(graph, 0, costs);
    const int64_t least = budget.least().bytes;
    double before = std::numeric_limits<double>::infinity();
    for (int64_t bytes = least; bytes <= budget.bytes_of_none(); bytes += 64) {
      const auto found = budget.within(bytes);
      ASSERT_TRUE(found.has_value()) << bytes;
      EXPECT_LE(found->extra, before) << bytes << " bytes of " << count << " blocks";
      before = found->extra;
    }
  }
}

// The activation is made dear: then it is saved, and the products are made again.
TEST(Budget, GoesByTheCostsThatWereMeasured) {
  const ir::Graph graph = mlp_blocks(4);
  cost::Table costs;
  const int64_t bytes = activation_bytes(graph) * 3 / 4;
  const auto again = [&] {
    Budget budget(graph, 0, costs);
    ir::Graph obeys = graph;
    budget.set_tags(obeys, budget.within(bytes)->tags);
    recompute(obeys, {});
    std::set<std::string> ops;
    for (const ir::NodeId id : obeys.regions()[0].nodes)
      if (obeys.node(id).again) ops.insert(obeys.node(id).op->name);
    return ops;
  };
  EXPECT_TRUE(again().contains("gelu"));
  for (const ir::NodeId id : graph.regions()[0].nodes)
    if (graph.node(id).op->name == std::string("gelu")) costs.set(work_of(graph, graph.node(id)), 1.0);
  EXPECT_FALSE(again().contains("gelu"));
}

TEST(Budget, BelowTheLeastIsRefused) {
  ir::Graph graph = mlp_blocks(3);
  try {
    tag(graph, {.checkpointing = Checkpointing::budget, .budget_bytes = 64});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::memory);
    EXPECT_EQ(e.info().key, "activation_checkpoint.budget");
    EXPECT_NE(e.info().expected.find("at least"), std::string::npos);
  }
}

TEST(Budget, AShareIsOfWhatModeNoneNeeds) {
  ir::Graph graph = mlp_blocks(6);
  const int64_t none = activation_bytes(graph);
  Recomputed out;
  tag(graph, {.checkpointing = Checkpointing::budget, .budget_share = 0.6, .recomputed = &out});
  EXPECT_EQ(out.bytes_of_none, none);
  EXPECT_EQ(out.budget_bytes, static_cast<int64_t>(0.6 * static_cast<double>(none)));
  recompute(graph, {});
  EXPECT_LE(activation_bytes(graph), out.budget_bytes);
  EXPECT_FALSE(out.not_saved.empty());
}

}  // namespace
}  // namespace ringmaster::passes
