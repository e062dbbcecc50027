// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

const std::string inputs = R"(program p
step
  %x f32[5,3] = input() name="x" shape=[5,3]
  %w f32[7,3] = input() name="w" shape=[7,3]
  %t i32[5] = input() name="t" shape=[5] dtype="i32"
  %d f32[5] = input() name="d" shape=[5]
)";
const std::string gradient =
    R"(  %m f32[5], %dx f32[5,3], %dw f32[7,3] = linear_cross_entropy_rows_grad(%x, %w, %t, %d)
)";

TEST(Reuse, ReadersMoveBehindTheBackwardThatYieldsTheLoss) {
  EXPECT_EQ(after(reuse, inputs + R"(  %l f32[5] = linear_cross_entropy(%x, %w, %t)
  %a f32[5] = exp(%l)
  %b f32[5] = exp(%d)
  %c f32[5] = add(%a, %b)
)" + gradient + R"(  output(%dx) name="dx"
  output(%c) name="c"
)"),
            normal(inputs + "  %b f32[5] = exp(%d)\n" + gradient + R"(  %a f32[5] = exp(%m)
  %c f32[5] = add(%a, %b)
  output(%dx) name="dx"
  output(%c) name="c"
)"));
}

TEST(Reuse, NotWhereBackwardDependsOnTheLoss) {
  const std::string text = inputs + R"(  %l f32[5] = linear_cross_entropy(%x, %w, %t)
  %e f32[5] = exp(%l)
  %m f32[5], %dx f32[5,3], %dw f32[7,3] = linear_cross_entropy_rows_grad(%x, %w, %t, %e)
  output(%l) name="l"
  output(%dx) name="dx"
)";
  EXPECT_EQ(after(reuse, text), normal(text));
}

TEST(Reuse, NotOfOtherInputs) {
  const std::string text = inputs + R"(  %y f32[5,3] = exp(%x)
  %l f32[5] = linear_cross_entropy(%y, %w, %t)
)" + gradient + R"(  output(%l) name="l"
  output(%dx) name="dx"
)";
  EXPECT_EQ(after(reuse, text), normal(text));
}

}  // namespace
}  // namespace ringmaster::passes
