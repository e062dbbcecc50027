// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

const char* const two_exits = R"(program p
for grain
  %x f32[4] = input() name="x" shape=[4]
  %l f32[] = sum(%x) dims=[0]
  %g f32[4] = grain_sum(%x)
  %h f32[2] = grain_gather(%l) grains=2
step
  %y f32[4] = exp(%g)
  output(%y) name="y"
  output(%h) name="h"
)";

TEST(Shard, WhatLeavesAGrainIsSummedOverTheRanksOnce) {
  EXPECT_EQ(after(shard, two_exits, {.ranks = 2, .node_ranks = 2}), after(shard, two_exits, {.ranks = 2}))
      << "exp reads the whole";
  EXPECT_EQ(after(shard, two_exits, {.ranks = 2}), normal(R"(program p
for grain
  %x f32[4] = input() name="x" shape=[4]
  %l f32[] = sum(%x) dims=[0]
  %g f32[4] = grain_sum(%x)
  %h f32[2] = grain_gather(%l) grains=2
step
  %r f32[4], %s f32[2] = all_reduce(%g, %h) bucket=0  @all_reduce
  %y f32[4] = exp(%r)
  output(%y) name="y"
  output(%s) name="h"
)"));
}

// A gradient of four blocks of a norm, the last one short, and one of a single block.
std::string two_gradients() {
  return R"(program p
state weight f32[400,500] "a"
state weight f32[300] "b"
state optimizer f32[400,500] "a.velocity"
state optimizer f32[300] "b.velocity"
for grain
  %x f32[400,500] = input() name="x" shape=[400,500]
  %y f32[300] = input() name="y" shape=[300]
  %l f32[] = sum(%y) dims=[0]
  %g f32[400,500] = grain_sum(%x)
  %h f32[300] = grain_sum(%y)
  %e f32[2] = grain_gather(%l) grains=2
step
  %a f32[400,500] = state_read() name="a" shape=[400,500]
  %b f32[300] = state_read() name="b" shape=[300]
  %u f32[400,500] = state_read() name="a.velocity" shape=[400,500]
  %v f32[300] = state_read() name="b.velocity" shape=[300]
  %s f64[5] = square_sums(%h, %g)
  %n f32[] = norm(%s)
  %lr f32[] = scalar() name="lr"
  %t f32[] = scalar() name="step"
  %o f32[] = sum(%e) dims=[0]
  %c i32[] = decision(%n, %o)
  %a2 f32[400,500], %u2 f32[400,500] = sgd(%a, %u, %g, %lr, %t, %n, %c) rounding=7
  state_write(%a2) name="a"
  state_write(%u2) name="a.velocity"
  %b2 f32[300], %v2 f32[300] = sgd(%b, %v, %h, %lr, %t, %n, %c)
  state_write(%b2) name="b"
  state_write(%v2) name="b.velocity"
)";
}

TEST(Shard, RanksOfANodeDivideWhatReadsAGradient) {
  const std::string found = after(shard, two_gradients(), {.ranks = 4, .node_ranks = 2});
  const auto has = [&](const char* text) {
    EXPECT_NE(found.find(text), std::string::npos) << text << " in\n" << found;
  };
  has("reduce_scatter(");
  has("bucket=0 bounds=[0,131072,200304]");  // two blocks of four; 300 elements take 304
  has("all_reduce(");
  has("bucket=1");
  has("bucket=2 within_node=true");
  EXPECT_TRUE(found.find("barrier()") > found.rfind("state_write")) << found;
}

std::string part_of_rank(int node_rank) {
  ir::Graph graph = graph_of(two_gradients());
  shard(graph, {.ranks = 2, .node_ranks = 2});
  partition(graph, node_rank);
  return ir::print(graph);
}

TEST(Partition, ARankUpdatesItsPart) {
  const std::string first = part_of_rank(0), second = part_of_rank(1);
  const auto count = [](const std::string& in, const std::string& text) {
    int found = 0;
    for (size_t at = in.find(text); at != std::string::npos; at = in.find(text, at + 1)) ++found;
    return found;
  };
  // the first has two blocks of `a` and nothing of `b`
  EXPECT_EQ(count(first, " = sgd("), 1) << first;
  EXPECT_EQ(count(first, "begin=0 end=131072"), 4)
      << first;  // weight, velocity, gradient; and the gradient for the norm
  EXPECT_EQ(count(first, "name=\"a\" begin=0"), 1) << first;
  EXPECT_EQ(count(first, "firsts=[1] blocks=5"), 1) << first;
  EXPECT_EQ(count(first, "name=\"b\""), 0) << first;
  // the second has the rest of `a` and all of `b`
  EXPECT_EQ(count(second, " = sgd("), 2) << second;
  EXPECT_EQ(count(second, "begin=131072 end=200000"), 4) << second;
  EXPECT_EQ(count(second, "name=\"a.velocity\" begin=131072"), 1) << second;
  EXPECT_EQ(count(second, "element=131072"), 1) << second;  // random bits are those of the whole tensor
  EXPECT_EQ(count(second, "firsts=[0,3] blocks=5"), 1) << second;
  EXPECT_EQ(count(second, "state_write"), 4) << second;
  // what ranks agree on, they compute alike
  for (const std::string& text : {first, second}) EXPECT_EQ(count(text, " = decision("), 1) << text;
}

TEST(Partition, WithMoreRanksThanBlocksSomeUpdateNothing) {
  ir::Graph graph = graph_of(two_gradients());
  shard(graph, {.ranks = 8, .node_ranks = 8});
  int64_t updates = 0;
  for (int rank = 0; rank < 8; ++rank) {
    ir::Graph mine = graph;
    partition(mine, rank);
    const std::string text = ir::print(mine);
    for (size_t at = text.find(" = sgd("); at != std::string::npos; at = text.find(" = sgd(", at + 1)) ++updates;
    EXPECT_NE(text.find("square_sums("), std::string::npos);
  }
  EXPECT_EQ(updates, 5);  // a block each
}

TEST(Shard, OneRankExchangesNothing) { EXPECT_EQ(after(shard, two_exits, {.ranks = 1}), normal(two_exits)); }

}  // namespace
}  // namespace ringmaster::passes
