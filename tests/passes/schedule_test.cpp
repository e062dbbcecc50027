// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

TEST(Schedule, ExitsRunBehindTheirProducerAndConstantsBeforeTheirUser) {
  EXPECT_EQ(after(schedule, R"(program p
for grain
  %c f32[4] = full() value=2.0 shape=[4]
  %x f32[4] = input() name="x" shape=[4]
  %a f32[4] = exp(%x)
  %b f32[4] = tanh(%a)
  %d f32[4] = mul(%b, %c)
  %g f32[4] = grain_sum(%a)
  %h f32[4] = grain_sum(%d)
step
  output(%g) name="g"
  output(%h) name="h"
)"),
            normal(R"(program p
for grain
  %x f32[4] = input() name="x" shape=[4]
  %a f32[4] = exp(%x)
  %g f32[4] = grain_sum(%a)
  %b f32[4] = tanh(%a)
  %c f32[4] = full() value=2.0 shape=[4]
  %d f32[4] = mul(%b, %c)
  %h f32[4] = grain_sum(%d)
step
  output(%g) name="g"
  output(%h) name="h"
)"));
}

}  // namespace
}  // namespace ringmaster::passes
