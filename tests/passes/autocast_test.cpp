// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

const std::array<std::string, 1> shadows{"w"};
const Settings bf16_products{.compute = DType::bf16, .shadows = shadows};

TEST(Autocast, AProductReadsTheShadowOfItsWeight) {
  EXPECT_EQ(after(autocast, R"(program p
state weight f32[4,4] "w"
for grain
  %x f32[2,4] = input() name="x" shape=[2,4]
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %a f32[2,4] = matmul(%x, %w)
  %b f32[2,4] = gelu(%a)
  %c f32[2,4] = matmul(%b, %w)
  %s f32[] = sum(%c) dims=[0,1]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)",
                  bf16_products),
            normal(R"(program p
state weight f32[4,4] "w"
state shadow bf16[4,4] "w.shadow"
for grain
  %x f32[2,4] = input() name="x" shape=[2,4]
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %n bf16[2,4] = cast(%x) dtype="bf16"
  %h bf16[4,4] = state_read() name="w.shadow" dtype="bf16" shape=[4,4]
  %a bf16[2,4] = matmul(%n, %h)
  %b bf16[2,4] = gelu(%a)
  %c bf16[2,4] = matmul(%b, %h)
  %s f32[] = sum(%c) dims=[0,1] f32_out=true
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)"));
}

TEST(Autocast, OneCastServesAValueAndItsViews) {
  const std::string text = after(autocast, R"(program p
for grain
  %x f32[2,2,4] = input() name="x" shape=[2,2,4]
  %y f32[4,4] = input() name="y" shape=[4,4]
  %a f32[2,2,4] = matmul(%x, %y)
  %r f32[4,4] = reshape(%x) shape=[4,4]
  %b f32[4,4] = matmul(%r, %y) transpose_a=true
  %s f32[] = sum(%a) dims=[0,1,2]
  %t f32[] = sum(%b) dims=[0,1]
  %u f32[] = add(%s, %t)
  %g f32[1] = grain_gather(%u) grains=1
step
  output(%g) name="y"
)",
                                 {.compute = DType::bf16});
  EXPECT_NE(text.find("bf16[4,4] = reshape(%2) shape=[4,4]"), std::string::npos) << text;
  size_t casts = 0;
  for (size_t at = text.find("= cast("); at != std::string::npos; at = text.find("= cast(", at + 1)) ++casts;
  EXPECT_EQ(casts, 2) << text;  // of x and y
}

TEST(Autocast, WhatOnlyF32ReadsIsNotRounded) {
  const std::string text = after(autocast, R"(program p
for grain
  %x f32[2,4] = input() name="x" shape=[2,4]
  %y f32[4,4] = input() name="y" shape=[4,4]
  %a f32[2,4] = matmul(%x, %y)
  %b f32[2,4] = add(%x, %a)
  %s f32[] = sum(%b) dims=[0,1]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)",
                                 {.compute = DType::bf16});
  EXPECT_NE(text.find("f32[2,4] = matmul(%2, %3) f32_out=true"), std::string::npos) << text;
  EXPECT_NE(text.find("f32[2,4] = add("), std::string::npos) << text;
}

TEST(Autocast, LogSumsOfAttentionReachItsGradientInF32) {
  const std::string text = after(autocast, R"(program p
for grain
  %x f32[2,4,3,1,8] = input() name="x" shape=[2,4,3,1,8]
  %y f32[2,4,1,8], %l f32[2,1,4] = attention(%x) packed=true
  %d f32[2,4,3,1,8] = attention_grad(%x, %y, %l, %y) packed=true
  %s f32[] = sum(%d) dims=[0,1,2,3,4]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)",
                                 {.compute = DType::bf16});
  EXPECT_NE(text.find("bf16[2,4,1,8], %3 f32[2,1,4] = attention(%1)"), std::string::npos) << text;
  EXPECT_NE(text.find("bf16[2,4,3,1,8] = attention_grad(%1, %2, %3, %2)"), std::string::npos) << text;
}

TEST(Autocast, WhatA16BitReaderWantsTooIsRounded) {
  const std::string text = after(autocast, R"(program p
for grain
  %x f32[2,4] = input() name="x" shape=[2,4]
  %y f32[4,4] = input() name="y" shape=[4,4]
  %a f32[2,4] = matmul(%x, %y)
  %b f32[2,4] = add(%x, %a)
  %c f32[2,4] = matmul(%a, %y)
  %d f32[2,4] = add(%b, %c)
  %s f32[] = sum(%d) dims=[0,1]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)",
                                 {.compute = DType::bf16});
  EXPECT_NE(text.find("bf16[2,4] = matmul(%2, %3)\n"), std::string::npos) << text;
}

TEST(Autocast, StatisticsAndLossesStayInF32) {
  const std::string text = after(autocast, R"(program p
for grain
  %x f32[2,4] = input() name="x" shape=[2,4]
  %y f32[4,4] = input() name="y" shape=[4,4]
  %t i32[2] = input() name="t" dtype="i32" shape=[2]
  %a f32[2,4] = matmul(%x, %y)
  %p f32[2,4] = softmax(%a)
  %b f32[2,4] = matmul(%p, %y)
  %l f32[2] = cross_entropy(%b, %t)
  %s f32[] = sum(%l) dims=[0]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)",
                                 {.compute = DType::bf16});
  EXPECT_NE(text.find("f32[2,4] = softmax("), std::string::npos) << text;
  EXPECT_NE(text.find("f32[2] = cross_entropy("), std::string::npos) << text;
  EXPECT_EQ(text.find("bf16[2,4] = softmax("), std::string::npos) << text;
}

TEST(Autocast, WhoWritesAWeightWritesItsShadow) {
  EXPECT_EQ(after(autocast, R"(program p
state weight f32[4] "w"
state weight f32[4] "v"
step
  %x f32[4] = input() name="x" shape=[4]
  state_write(%x) name="w"
  state_write(%x) name="v"
)",
                  bf16_products),
            normal(R"(program p
state weight f32[4] "w"
state weight f32[4] "v"
state shadow bf16[4] "w.shadow"
step
  %x f32[4] = input() name="x" shape=[4]
  state_write(%x) name="w"
  state_write(%x) name="v"
  %s bf16[4] = cast(%x) dtype="bf16"
  state_write(%s) name="w.shadow"
)"));
}

TEST(Autocast, F32LeavesAllAsItIs) {
  const std::string text = R"(program p
for grain
  %x f32[2,2] = input() name="x" shape=[2,2]
  %a f32[2,2] = matmul(%x, %x)
  %s f32[] = sum(%a) dims=[0,1]
  %g f32[1] = grain_gather(%s) grains=1
step
  output(%g) name="y"
)";
  EXPECT_EQ(after(autocast, text), normal(text));
}

TEST(Autocast, FindsTheWeightsOfProducts) {
  const ir::Graph graph = graph_of(R"(program p
state weight f32[4,4] "w"
state weight f32[2,4] "gain"
state weight f32[4,4] "v"
for grain
  %v f32[4,4] = state_read() name="v" shape=[4,4]
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %g f32[2,4] = state_read() name="gain" shape=[2,4]
  %x f32[2,4] = input() name="x" shape=[2,4]
  %y f32[2,4] = mul(%x, %g)
  %a f32[2,4] = matmul(%y, %w)
  %b f32[2,4] = matmul(%a, %v)
  %s f32[] = sum(%b) dims=[0,1]
  %o f32[1] = grain_gather(%s) grains=1
step
  output(%o) name="y"
)");
  EXPECT_EQ(weights_of_products(graph), (std::vector<std::string>{"w", "v"}));
}

}  // namespace
}  // namespace ringmaster::passes
