// SPDX-License-Identifier: Apache-2.0
#include "tests/passes/pass_test_util.h"

#include <gtest/gtest.h>

#include <array>

namespace ringmaster::passes {
namespace {

const std::array<std::string, 1> shadows{"w"};
const Settings split{.compute = DType::bf16, .shadows = shadows, .split = true};

const std::string states =
    "program p\nstate weight f32[4,4] \"w\"\nstate optimizer f32[4,4] \"v\"\nstate average f32[4,4] \"a\"\n";
const std::string halves = states + "state shadow bf16[4,4] \"w.shadow\"\nstate remainder u16[4,4] \"w.remainder\"\n";

TEST(SplitMasters, AnUpdateTakesAndGivesBothHalves) {
  EXPECT_EQ(after(split_masters, states + R"(step
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %v f32[4,4] = state_read() name="v" shape=[4,4]
  %g f32[4,4] = input() name="g" shape=[4,4]
  %l f32[] = scalar() name="lr"
  %c i32[] = scalar() name="commit" dtype="i32"
  %x f32[4,4], %y f32[4,4] = sgd(%w, %v, %g, %l, %l, %l, %c)
  state_write(%y) name="v"
  state_write(%x) name="w"
)",
                  split),
            normal(halves + R"(step
  %h bf16[4,4] = state_read() name="w.shadow" dtype="bf16" shape=[4,4]
  %r u16[4,4] = state_read() name="w.remainder" dtype="u16" shape=[4,4]
  %v f32[4,4] = state_read() name="v" shape=[4,4]
  %g f32[4,4] = input() name="g" shape=[4,4]
  %l f32[] = scalar() name="lr"
  %c i32[] = scalar() name="commit" dtype="i32"
  %x bf16[4,4], %y f32[4,4], %z u16[4,4] = sgd(%h, %v, %r, %g, %l, %l, %l, %c)
  state_write(%y) name="v"
  state_write(%x) name="w.shadow"
  state_write(%z) name="w.remainder"
)"));
}

TEST(SplitMasters, WhoElseReadsTheNewWeightReadsItJoined) {
  const std::string text = after(split_masters, states + R"(step
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %v f32[4,4] = state_read() name="v" shape=[4,4]
  %a f32[4,4] = state_read() name="a" shape=[4,4]
  %g f32[4,4] = input() name="g" shape=[4,4]
  %l f32[] = scalar() name="lr"
  %c i32[] = scalar() name="commit" dtype="i32"
  %x f32[4,4], %y f32[4,4] = sgd(%w, %v, %g, %l, %l, %l, %c)
  %b f32[4,4] = average(%a, %x, %c) decay=0.5
  state_write(%b) name="a"
  state_write(%x) name="w"
)",
                                 split);
  EXPECT_NE(text.find("%7 bf16[4,4], %8 f32[4,4], %9 u16[4,4] = sgd(%0, %2, %1, %4,"), std::string::npos) << text;
  EXPECT_NE(text.find("%10 f32[4,4] = join_master(%7, %9)"), std::string::npos) << text;
  EXPECT_NE(text.find("average(%3, %10, %6)"), std::string::npos) << text;
}

TEST(SplitMasters, RowsOfATableAreTakenFromBothHalves) {
  EXPECT_EQ(after(split_masters, states + R"(for grain
  %w f32[4,4] = state_read() name="w" shape=[4,4]
  %i i32[2] = input() name="i" dtype="i32" shape=[2]
  %x f32[2,4] = embedding(%w, %i)
  %s f32[2,4] = exp(%x)
  %g f32[2,4] = grain_sum(%s)
step
  output(%g) name="y"
)",
                  split),
            normal(halves + R"(for grain
  %h bf16[4,4] = state_read() name="w.shadow" dtype="bf16" shape=[4,4]
  %r u16[4,4] = state_read() name="w.remainder" dtype="u16" shape=[4,4]
  %i i32[2] = input() name="i" dtype="i32" shape=[2]
  %x bf16[2,4] = embedding(%h, %i)
  %y u16[2,4] = embedding(%r, %i)
  %j f32[2,4] = join_master(%x, %y)
  %s f32[2,4] = exp(%j)
  %g f32[2,4] = grain_sum(%s)
step
  output(%g) name="y"
)"));
}

TEST(SplitMasters, WithoutTheSettingAllStaysAsItIs) {
  const std::string text =
      states + "step\n  %w f32[4,4] = state_read() name=\"w\" shape=[4,4]\n  output(%w) name=\"y\"\n";
  EXPECT_EQ(after(split_masters, text, {.compute = DType::bf16, .shadows = shadows}), normal(text));
}

TEST(SplitMasters, AWeightThatIsNotUpdatedIsNotWritten) {
  EXPECT_THROW(after(split_masters, states + R"(step
  %x f32[4,4] = input() name="x" shape=[4,4]
  state_write(%x) name="w"
)",
                     split),
               Error);
}

}  // namespace
}  // namespace ringmaster::passes
