// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

TEST(Canonicalise, DropsWhatChangesNothing) {
  EXPECT_EQ(after(canonicalise, R"(program p
step
  %x f32[2,3] = input() name="x" shape=[2,3]
  %a f32[2,3] = reshape(%x) shape=[2,3]
  %b f32[2,3] = scale(%a) factor=1.0
  %c f32[2,3] = transpose(%b) order=[0,1]
  %d f32[2,3] = stop_gradient(%c)
  %e f32[2,3] = exp(%d)
  output(%e) name="y"
)"),
            normal(R"(program p
step
  %x f32[2,3] = input() name="x" shape=[2,3]
  %e f32[2,3] = exp(%x)
  output(%e) name="y"
)"));
}

TEST(Canonicalise, KeepsWhatChangesTheShape) {
  const std::string text = R"(program p
step
  %x f32[2,3] = input() name="x" shape=[2,3]
  %a f32[3,2] = reshape(%x) shape=[3,2]
  %b f32[2,3] = transpose(%a) order=[1,0]
  output(%b) name="y"
)";
  EXPECT_EQ(after(canonicalise, text), normal(text));
}

TEST(Canonicalise, MergesNodesThatComputeTheSame) {
  EXPECT_EQ(after(canonicalise, R"(program p
state weight f32[4] "w"
step
  %w f32[4] = state_read() name="w" shape=[4]
  %v f32[4] = state_read() name="w" shape=[4]
  %a f32[4] = exp(%w)
  %b f32[4] = exp(%v)
  %c f32[4] = add(%a, %b)
  output(%c) name="y"
)"),
            normal(R"(program p
state weight f32[4] "w"
step
  %w f32[4] = state_read() name="w" shape=[4]
  %a f32[4] = exp(%w)
  %c f32[4] = add(%a, %a)
  output(%c) name="y"
)"));
}

TEST(Canonicalise, AttributesTellNodesApart) {
  const std::string text = R"(program p
step
  %x f32[4] = input() name="x" shape=[4]
  %a f32[4] = dropout(%x) p=0.5 stream=1
  %b f32[4] = dropout(%x) p=0.5 stream=2
  %c f32[4] = add(%a, %b)
  output(%c) name="y"
)";
  EXPECT_EQ(after(canonicalise, text), normal(text));
}

TEST(Canonicalise, RemovesWhatNobodyReads) {
  EXPECT_EQ(after(canonicalise, R"(program p
step
  %x f32[4] = input() name="x" shape=[4]
  %a f32[4] = exp(%x)
  %b f32[4] = log(%a)
  output(%x) name="y"
)"),
            normal(R"(program p
step
  %x f32[4] = input() name="x" shape=[4]
  output(%x) name="y"
)"));
}

}  // namespace
}  // namespace ringmaster::passes
