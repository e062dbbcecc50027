// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

TEST(Fuse, AGradientIsAddedWhereItIsMade) {
  EXPECT_EQ(after(fuse, R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,3] = input() name="y" shape=[4,3]
  %d f32[2,3] = matmul(%x, %y) transpose_a=true
  %g f32[2,3] = grain_sum(%d)
step
  output(%g) name="g"
)"),
            normal(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,3] = input() name="y" shape=[4,3]
  %d f32[2,3] = matmul(%x, %y) transpose_a=true into_sum="first"
  %g f32[2,3] = grain_sum(%d)
step
  output(%g) name="g"
)"));
}

TEST(Fuse, TheFirstStoresAndTheOthersAdd) {  // a table that embeds tokens and is the head too
  const std::string text = after(fuse, R"(program p
for grain
  %i i32[4] = input() name="i" dtype="i32" shape=[4]
  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,3] = input() name="y" shape=[4,3]
  %d f32[3,2] = matmul(%y, %x) transpose_a=true
  %e f32[3,2] = embedding_grad(%x, %i) vocab=3
  %g f32[3,2] = grain_sum(%d, %e)
step
  output(%g) name="g"
)");
  EXPECT_NE(text.find("matmul(%2, %1) transpose_a=true into_sum=\"first\""), std::string::npos) << text;
  EXPECT_NE(text.find("embedding_grad(%1, %0) vocab=3 into_sum=\"add\""), std::string::npos) << text;
}

// Rows of a loss head add to one gradient of the table: it is the sum over the grains where a rank has but one.
TEST(Fuse, RowsOfALossHeadStoreWhereThereIsOneGrain) {
  const std::string text = R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %w f32[3,2] = input() name="w" shape=[3,2]
  %i i32[4] = input() name="i" dtype="i32" shape=[4]
  %l f32[4] = input() name="l" shape=[4]
  %a f32[4], %b f32[4,2], %c f32[3,2] = linear_cross_entropy_rows_grad(%x, %w, %i, %l)
  %e f32[3,2] = embedding_grad(%b, %i) vocab=3
  %g f32[3,2] = grain_sum(%c, %e)
step
  output(%g) name="g"
)";
  EXPECT_EQ(after(fuse, text), normal(text));
  const std::string one = after(fuse, text, {.one_grain = true});
  EXPECT_NE(one.find("linear_cross_entropy_rows_grad(%0, %1, %2, %3) into_sum=\"first\""), std::string::npos) << one;
  EXPECT_NE(one.find("vocab=3 into_sum=\"add\""), std::string::npos) << one;
}

TEST(Fuse, TheOrderOfTheSumStays) {
  const std::string text = R"(program p
for grain
  %i i32[4] = input() name="i" dtype="i32" shape=[4]
  %x f32[4,2] = input() name="x" shape=[4,2]
  %t f32[3,2] = input() name="t" shape=[3,2]
  %d f32[3,2] = exp(%t)
  %e f32[3,2] = embedding_grad(%x, %i) vocab=3
  %g f32[3,2] = grain_sum(%d, %e)
step
  output(%g) name="g"
)";
  EXPECT_EQ(after(fuse, text), normal(text));
}

TEST(Fuse, WhatAnotherReadsKeepsItsMemory) {
  const std::string text = R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %d f32[2,2] = matmul(%x, %x) transpose_a=true
  %g f32[2,2] = grain_sum(%d)
  %e f32[2,2] = exp(%d)
  %h f32[2,2] = grain_sum(%e)
step
  output(%g) name="g"
  output(%h) name="h"
)";
  EXPECT_EQ(after(fuse, text), normal(text));
}

TEST(Fuse, AnOpThatCanNotAddIsLeftAlone) {
  const std::string text = R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %e f32[4,2] = exp(%x)
  %g f32[4,2] = grain_sum(%e)
step
  output(%g) name="g"
)";
  EXPECT_EQ(after(fuse, text), normal(text));
}

TEST(Fuse, AWeightAndItsShadowAreWrittenTogether) {
  const std::string text = after(fuse, R"(program p
state weight f32[4] "w"
state optimizer f32[4] "v"
state shadow bf16[4] "w.shadow"
step
  %w f32[4] = state_read() name="w" shape=[4]
  %v f32[4] = state_read() name="v" shape=[4]
  %g f32[4] = input() name="g" shape=[4]
  %l f32[] = scalar() name="lr"
  %c i32[] = scalar() name="commit" dtype="i32"
  %x f32[4], %y f32[4] = sgd(%w, %v, %g, %l, %l, %l, %c)
  state_write(%y) name="v"
  state_write(%x) name="w"
  %s bf16[4] = cast(%x) dtype="bf16"
  state_write(%s) name="w.shadow"
)");
  EXPECT_NE(text.find("%5 f32[4], %6 f32[4], %7 bf16[4] = sgd(%0, %1, %2, %3, %3, %3, %4) narrow=\"bf16\""),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("state_write(%7) name=\"w.shadow\""), std::string::npos) << text;
  EXPECT_EQ(text.find("cast("), std::string::npos) << text;
}

constexpr const char* backward = R"(program p
for grain
  %a f32[4,2] = input() name="a" shape=[4,2]
  %d f32[4,2] = input() name="d" shape=[4,2]
  %g f32[2] = input() name="g" shape=[2]
  %m f32[4] = input() name="m" shape=[4]
  %x f32[4,2] = layer_norm_grad(%a, %a, %m, %m, %g)
  %s f32[4,2] = add(%x, %d)
{}  %h bf16[4,2] = cast(%s) dtype="bf16"
  %p f32[2,2] = matmul(%h, %h) transpose_a=true f32_out=true
  %q f32[2,2] = grain_sum(%p)
  %o f32[4,2] = grain_sum(%s)
step
)";

TEST(Fuse, AGradientAndWhatTheNextProductReadsOfItAreWrittenTogether) {
  const std::string text = after(fuse, fmt::format(fmt::runtime(backward), ""));
  EXPECT_NE(text.find("%4 f32[4,2], %5 bf16[4,2] = layer_norm_grad(%0, %0, %3, %3, %2, %1) narrow=\"bf16\""),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("matmul(%5, %5)"), std::string::npos) << text;
  EXPECT_EQ(text.find("cast("), std::string::npos) << text;
}

TEST(Fuse, ACopyIn16BitsDoesNotWaitForAProduct) {
  const std::string product = "  %w f32[4,4] = matmul(%a, %a) transpose_b=true\n  %v f32[4,4] = grain_sum(%w)\n";
  const std::string text = after(fuse, fmt::format(fmt::runtime(backward), product));
  EXPECT_NE(text.find("cast(%4) dtype=\"bf16\""), std::string::npos) << text;
}

// What only 16-bit products read of a norm is never written in f32.
TEST(Fuse, ANormGives16BitsWhereNobodyReadsMore) {
  const std::string forward = R"(program p
for grain
  %a f32[4,2] = input() name="a" shape=[4,2]
  %g f32[2] = input() name="g" shape=[2]
  %y f32[4,2], %m f32[4], %r f32[4] = layer_norm(%a, %g, %g)
  %h bf16[4,2] = cast(%y) dtype="bf16"
  %p f32[2,2] = matmul(%h, %h) transpose_a=true f32_out=true
  %q f32[2,2] = grain_sum(%p)
)";
  EXPECT_NE(after(fuse, forward + "step\n")
                .find("%2 bf16[4,2], %3 f32[4], %4 f32[4] = layer_norm(%0, %1, %1) "
                      "narrow_out=\"bf16\""),
            std::string::npos);
  const std::string read = forward + "  %o f32[4,2] = grain_sum(%y)\nstep\n";
  EXPECT_EQ(after(fuse, read).find("narrow_out"), std::string::npos);
}

TEST(Fuse, VerifyRefusesASecondReader) {
  const ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %d f32[2,2] = matmul(%x, %x) transpose_a=true into_sum="first"
  %e f32[2,2] = exp(%d)
  %g f32[2,2] = grain_sum(%d)
  %h f32[2,2] = grain_sum(%e)
step
  output(%g) name="g"
  output(%h) name="h"
)");
  EXPECT_THROW(ir::verify(graph, "a test"), Error);
}

}  // namespace
}  // namespace ringmaster::passes
