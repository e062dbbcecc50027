// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/grid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ringmaster::backend {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// Ties, signs, numbers that vanish, all lengths of a tail.
std::vector<float> numbers(int64_t n) {
  const float some[] = {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 0.49999997F, 3.0F, -7.25F, 1e-30F, 1000.3F};
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(some[i % std::ssize(some)] * (i % 3 == 0 ? 1.0F : 0.125F));
  return x;
}

TEST(Fold, RoundsToNearestEvenAndAddsIntegers) {
  for (int64_t n = 0; n < 50; ++n) {
    const std::vector<float> x = numbers(n);
    std::vector<int32_t> q(x.size() + 1, 77), wanted(x.size() + 1, 77);
    for (const bool add : {false, true}) {
      Peak peak;
      Fold{.add = add, .peak = &peak, .multiplier = 4.0F}(x.data(), q.data(), n);
      float largest = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        wanted[i] = (add ? wanted[i] : 0) + static_cast<int32_t>(std::nearbyint(x[i] * 4.0F));
        largest = std::max(largest, std::abs(x[i]));
      }
      EXPECT_EQ(q, wanted) << n;  // and nothing behind the end
      EXPECT_EQ(peak.value(), largest) << n;
    }
  }
}

TEST(Fold, WhatIsNotFiniteIsTheLargest) {
  for (const float odd : {infinity, -infinity, std::nanf(""), -std::nanf("")}) {
    for (size_t at = 0; at < 35; ++at) {
      std::vector<float> x = numbers(35);
      x[at] = odd;
      std::vector<int32_t> q(x.size());
      Peak peak;
      Fold{.peak = &peak, .multiplier = 1.0F}(x.data(), q.data(), 35);
      EXPECT_FALSE(std::isfinite(peak.value())) << odd << " at " << at;
    }
  }
}

TEST(Fold, WritesIntegersWhereTheFloatsLay) {
  std::vector<float> x = numbers(37);
  const std::vector<float> before = x;
  Peak peak;
  Fold{.peak = &peak, .multiplier = 8.0F}(x.data(), x.data(), 37);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(std::bit_cast<int32_t>(x[i]), static_cast<int32_t>(std::nearbyint(before[i] * 8.0F))) << i;
}

TEST(Fold, FloatsAreStoredOrAdded) {
  const std::vector<float> x = numbers(37);
  std::vector<float> sum(37, 1.0F);
  Fold{.add = true}(x.data(), sum.data(), 37);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], 1.0F + x[i]) << i;
  Fold{}(x.data(), sum.data(), 37);
  EXPECT_EQ(sum, x);
  EXPECT_FALSE(Fold{}.apart());
}

TEST(FromGrid, UndoesWhatTheMultiplierDid) {
  const std::vector<int32_t> q{0, 1, -3, 1 << 24, -(1 << 30)};
  std::vector<float> x(q.size());
  from_grid(q.data(), x.data(), std::ssize(q), inverse_of(1024.0F));
  for (size_t i = 0; i < q.size(); ++i) EXPECT_EQ(x[i] * 1024.0F, static_cast<float>(q[i])) << i;
  EXPECT_EQ(inverse_of(0.0F), 0.0F);
}

}  // namespace
}  // namespace ringmaster::backend
