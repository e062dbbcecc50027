// SPDX-License-Identifier: Apache-2.0
// fuse joins a sum with the norm that reads it, and in backward with the norm's gradient that goes into it.
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

std::string program(const std::string& body) {
  return R"(program p
state weight f32[2,2] "w"
for grain
  %a f32[4,2] = input() name="a" shape=[4,2]
  %b f32[4,2] = input() name="b" shape=[4,2]
  %g f32[2] = input() name="g" shape=[2]
  %h f32[2] = input() name="h" shape=[2]
  %m f32[4] = input() name="m" shape=[4]
  %r f32[4] = input() name="r" shape=[4]
)" + body +
         "step\n";
}
void expect_fused(const std::string& before, const std::string& behind) {
  EXPECT_EQ(after(fuse, program(before)), normal(program(behind)));
}
void expect_same(const std::string& body) { expect_fused(body, body); }

// The residual stream of a block: read by the norm, by the next sum and by backward.
TEST(Residuals, ASumIsMadeInFrontOfItsNorm) {
  expect_fused(R"(  %s f32[4,2] = add(%a, %b)  @block
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h) eps=0.001  @norm
  %e f32[2] = sum(%s) dims=[0]
  %o f32[2] = grain_sum(%e)
  %q f32[4,2] = grain_sum(%y)
)",
               R"(  %y f32[4,2], %mean f32[4], %rstd f32[4], %s f32[4,2] = layer_norm(%a, %g, %h, %b) eps=0.001  @norm
  %e f32[2] = sum(%s) dims=[0]
  %o f32[2] = grain_sum(%e)
  %q f32[4,2] = grain_sum(%y)
)");
}

TEST(Residuals, ASumThatSomebodyReadsBeforeTheNormStays) {
  expect_same(R"(  %s f32[4,2] = add(%a, %b)
  %e f32[2] = sum(%s) dims=[0]
  %o f32[2] = grain_sum(%e)
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h)
  %q f32[4,2] = grain_sum(%y)
)");
}

TEST(Residuals, OnlyASumOfEqualTypesIsJoined) {  // the norm adds rows, it does not broadcast
  expect_same(R"(  %s f32[4,2] = add(%a, %g)
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h)
  %d f32[4,2] = mul(%a, %b)
  %z f32[4,2], %mean2 f32[4], %rstd2 f32[4] = layer_norm(%d, %g, %h)
  %q f32[4,2] = grain_sum(%y)
  %o f32[4,2] = grain_sum(%z)
)");
}

TEST(Residuals, OfTwoNormsTheFirstMakesTheSum) {
  expect_fused(R"(  %s f32[4,2] = add(%a, %b)
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h)
  %z f32[4,2], %mean2 f32[4], %rstd2 f32[4] = layer_norm(%s, %h, %g)
  %q f32[4,2] = grain_sum(%y)
  %o f32[4,2] = grain_sum(%z)
)",
               R"(  %y f32[4,2], %mean f32[4], %rstd f32[4], %s f32[4,2] = layer_norm(%a, %g, %h, %b)
  %z f32[4,2], %mean2 f32[4], %rstd2 f32[4] = layer_norm(%s, %h, %g)
  %q f32[4,2] = grain_sum(%y)
  %o f32[4,2] = grain_sum(%z)
)");
}

TEST(Residuals, WhatWouldWaitForAProductStays) {
  expect_same(R"(  %s f32[4,2] = add(%a, %b)
  %p f32[2,2] = matmul(%a, %b) transpose_a=true into_sum="first"
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h)
  %q f32[4,2] = grain_sum(%y)
  %o f32[2,2] = grain_sum(%p)
)");
}

TEST(Residuals, NoneReadsAStateBehindItsWrite) {
  expect_same(R"(  %w f32[2,2] = state_read() name="w" shape=[2,2]
  %x f32[2,2] = full() value=2.0 shape=[2,2]
  %s f32[2,2] = add(%w, %x)
  state_write(%x) name="w"
  %y f32[2,2], %mean f32[2], %rstd f32[2] = layer_norm(%s, %g, %h)
  %q f32[2,2] = grain_sum(%y)
)");
}

TEST(Residuals, DropoutOnABranchMakesAChainWithTheSum) {
  const std::string text = after(fuse, program(R"(  %d f32[4,2] = dropout(%b) p=0.5 stream=3
  %s f32[4,2] = add(%a, %d)
  %y f32[4,2], %mean f32[4], %rstd f32[4] = layer_norm(%s, %g, %h)
  %q f32[4,2] = grain_sum(%y)
  %o f32[4,2] = grain_sum(%s)
)"));
  EXPECT_NE(text.find("3 = add 1 2"), std::string::npos) << text;
}

TEST(Residuals, ASumIsMadeByTheGradientThatGoesIntoIt) {
  for (const char* operands : {"%x, %b", "%b, %x"}) {
    expect_fused(R"(  %x f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g)  @norm
  %d f32[2], %e f32[2] = layer_norm_grad_params(%a, %b, %m, %r)  @norm
  %s f32[4,2] = add()" +
                     std::string(operands) + R"()  @block
  %q f32[4,2] = grain_sum(%s)
  %o f32[2] = grain_sum(%d)
)",
                 R"(  %d f32[2], %e f32[2] = layer_norm_grad_params(%a, %b, %m, %r)  @norm
  %s f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g, %b)  @norm
  %q f32[4,2] = grain_sum(%s)
  %o f32[2] = grain_sum(%d)
)");
  }
}

TEST(Residuals, AGradientThatOthersReadStays) {
  expect_same(R"(  %x f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g)
  %s f32[4,2] = add(%x, %b)
  %q f32[4,2] = grain_sum(%s)
  %o f32[4,2] = grain_sum(%x)
)");
  expect_same(R"(  %x f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g)
  %s f32[4,2] = add(%x, %x)
  %q f32[4,2] = grain_sum(%s)
)");
}

TEST(Residuals, OfTwoGradientsOneMakesTheSum) {
  expect_fused(R"(  %x f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g)
  %y f32[4,2] = layer_norm_grad(%b, %a, %m, %r, %g)
  %s f32[4,2] = add(%x, %y)
  %q f32[4,2] = grain_sum(%s)
)",
               R"(  %y f32[4,2] = layer_norm_grad(%b, %a, %m, %r, %g)
  %s f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g, %y)
  %q f32[4,2] = grain_sum(%s)
)");
}

TEST(Residuals, AGradientDoesNotMoveOverAProduct) {
  expect_same(R"(  %x f32[4,2] = layer_norm_grad(%a, %b, %m, %r, %g)
  %p f32[4,4] = matmul(%a, %b) transpose_b=true
  %d f32[4,2] = matmul(%p, %b)
  %s f32[4,2] = add(%x, %d)
  %q f32[4,2] = grain_sum(%s)
)");
}

}  // namespace
}  // namespace ringmaster::passes
