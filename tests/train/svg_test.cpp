// SPDX-License-Identifier: Apache-2.0
#include "train/svg.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ringmaster::train {
namespace {

TEST(Svg, AxesAreMarkedAtRoundNumbers) {
  for (double most = 1e-3; most < 1e12; most *= 1.07) {
    const std::vector<double> ticks = round_ticks(most);
    ASSERT_GE(ticks.size(), 5U) << most;
    ASSERT_LE(ticks.size(), 10U) << most;
    EXPECT_EQ(ticks[0], 0);
    EXPECT_LE(ticks.back(), most * (1 + 1e-6));
    EXPECT_GT(ticks.back() + ticks[1], most * (1 - 1e-6));
    const double lead = ticks[1] / std::pow(10.0, std::floor(std::log10(ticks[1]) + 1e-9));
    EXPECT_TRUE(std::abs(lead - 1) < 1e-6 || std::abs(lead - 2) < 1e-6 || std::abs(lead - 5) < 1e-6) << lead;
  }
  EXPECT_EQ(round_ticks(0).size(), 1U);
}

TEST(Svg, BytesAreToldInOneUnit) {
  const std::vector<Tick> ticks = byte_ticks(900.0 * (1 << 20));
  EXPECT_EQ(ticks.front().text, "0 MiB");
  EXPECT_EQ(ticks.back().text, "800 MiB");
  EXPECT_EQ(ticks.back().value, 800.0 * (1 << 20));
}

}  // namespace
}  // namespace ringmaster::train
