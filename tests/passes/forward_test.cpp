// SPDX-License-Identifier: Apache-2.0
// forward: what of a grain makes the loss, and who reads it in backward.
#include "passes/forward.h"

#include "tests/passes/pass_test_util.h"

#include <gtest/gtest.h>

namespace ringmaster::passes {
namespace {

TEST(Forward, IsWhatTheLossIsMadeFrom) {
  const ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,2] = gelu(%x)
  %v f32[8] = reshape(%y) shape=[8]
  %z f32[8] = exp(%v)
  %l f32[] = sum(%z) dims=[0]
  %loss f32[1] = grain_gather(%l) grains=1
  %u f32[2,4] = reshape(%v) shape=[2,4]
  %d f32[2,4] = exp(%u)
  %q f32[2,4] = grain_sum(%d)
step
)");
  const Forward forward(graph, 0);
  ASSERT_EQ(forward.values().size(), 3U);  // %y, %z and %l: the input is there anyway, and views lie in %y
  const Saveable &y = forward.values()[0], &z = forward.values()[1];
  EXPECT_TRUE(y.from.empty());
  EXPECT_EQ(z.from, std::vector<int32_t>{0});
  EXPECT_EQ(y.last_use, 3);
  EXPECT_EQ(y.wants, (std::vector<int64_t>{6, 7}));  // through a view of backward as well
  EXPECT_TRUE(z.wants.empty());
}

// Its gradient lies where the sum over the grains does; the rest of it could only be had by adding twice.
TEST(Forward, WhatAddsAGradientNeverRunsTwice) {
  const ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %w f32[3,2] = input() name="w" shape=[3,2]
  %t i32[4] = input() name="t" dtype="i32" shape=[4]
  %s f32[4] = input() name="s" shape=[4]
  %y f32[4,2] = gelu(%x)
  %loss f32[4], %dx f32[4,2], %dw f32[3,2] = linear_cross_entropy_rows_grad(%y, %w, %t, %s) into_sum="first"
  %l f32[] = sum(%loss) dims=[0]
  %g f32[1] = grain_gather(%l) grains=1
  %q f32[3,2] = grain_sum(%dw)
  %e f32[4,2] = gelu_grad(%dx, %x)
  %r f32[4,2] = grain_sum(%e)
step
)");
  const Forward forward(graph, 0);
  ASSERT_EQ(forward.values().size(), 4U);  // %y, %loss, %dx, %l
  EXPECT_FALSE(forward.values()[0].fixed);
  EXPECT_TRUE(forward.values()[1].fixed);
  EXPECT_TRUE(forward.values()[2].fixed);
}

}  // namespace
}  // namespace ringmaster::passes
