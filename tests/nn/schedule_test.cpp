// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "nn/schedule.h"

namespace ringmaster::nn {
namespace {

TEST(Schedule, WarmUpIsLinearAndReachesOne) {
  const ScheduleOptions o{.warmup_steps = 4, .total_steps = 10};
  EXPECT_DOUBLE_EQ(lr_factor(o, 0), 0.25);
  EXPECT_DOUBLE_EQ(lr_factor(o, 3), 1.0);
  EXPECT_DOUBLE_EQ(lr_factor(o, 9), 1.0);
}

TEST(Schedule, LinearAndCosineEndAtTheMinimum) {
  for (const Decay decay : {Decay::linear, Decay::cosine}) {
    const ScheduleOptions o{.warmup_steps = 2, .total_steps = 12, .decay = decay, .min_factor = 0.1};
    EXPECT_DOUBLE_EQ(lr_factor(o, 2), 1.0);
    EXPECT_DOUBLE_EQ(lr_factor(o, 7), 0.55);  // both are half-way in the middle
    EXPECT_NEAR(lr_factor(o, 12), 0.1, 1e-15);
    EXPECT_NEAR(lr_factor(o, 1000), 0.1, 1e-15);
  }
}

TEST(Schedule, WarmUpLongerThanTheRunNeverDecays) {
  const ScheduleOptions o{.warmup_steps = 100, .total_steps = 10, .decay = Decay::cosine};
  EXPECT_DOUBLE_EQ(lr_factor(o, 9), 0.1);
}

}  // namespace
}  // namespace ringmaster::nn
