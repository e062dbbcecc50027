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

TEST(Shard, OneRankExchangesNothing) { EXPECT_EQ(after(shard, two_exits, {.ranks = 1}), normal(two_exits)); }

}  // namespace
}  // namespace ringmaster::passes
