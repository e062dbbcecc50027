// SPDX-License-Identifier: Apache-2.0
// Stochastic rounding: the random words are Philox's, what bf16 holds stays, and the mean is the value.
#include "backend/cpu/stochastic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ringmaster::backend {
namespace {

const RandomStream stream({.seed = 11, .stream = 5, .step = 3});

TEST(Stochastic, TheWordsArePhiloxs) {
  for (const uint64_t group : {uint64_t{0}, uint64_t{1}, uint64_t{0x1FFFFFFF}, uint64_t{0x123456789AB}}) {
    alignas(32) uint32_t words[4][8];
    const RandomLanes random = random_lanes(stream, group);
    for (int row = 0; row < 4; ++row) _mm256_store_si256(reinterpret_cast<__m256i*>(words[row]), random.rows[row]);
    for (uint64_t e = 0; e < 32; ++e)
      EXPECT_EQ(words[e / 8][e % 8], stream.words(0, 8 * group + e % 8)[e / 8]) << group << " " << e;
  }
}

// Rounds `x` in each of `n` places, a multiple of 32.
std::vector<float> rounded(float x, int64_t n) {
  std::vector<float> out;
  for (int64_t group = 0; group < n / 32; ++group) {
    const RandomLanes random = random_lanes(stream, static_cast<uint64_t>(group));
    bf16 low[32], high[32];
    for (int half = 0; half < 2; ++half) {
      store_stochastic<RandomHalf::low>(low + 16 * half, Lanes(x), random, half, 16);
      store_stochastic<RandomHalf::high>(high + 16 * half, Lanes(x), random, half, 16);
    }
    for (int i = 0; i < 32; ++i) out.push_back(to_float(i % 2 == 0 ? low[i] : high[i]));
  }
  return out;
}

TEST(Stochastic, WhatBf16HoldsStays) {
  for (const float x : {0.0F, -0.0F, 1.0F, -1.5F, 0x1p-126F, 0x1p127F, INFINITY, -INFINITY})
    for (const float y : rounded(x, 64)) EXPECT_EQ(y, x);
  for (const float y : rounded(NAN, 64)) EXPECT_TRUE(std::isnan(y));
}

TEST(Stochastic, IsOneOfTheTwoNeighboursAndRightOnAverage) {
  constexpr int64_t n = 1 << 16;
  for (const float part : {0.125F, 0.5F, 0.9F}) {
    const float below = 1.0F, above = 1.0F + 0x1p-7F, x = below + part * 0x1p-7F;
    const std::vector<float> values = rounded(x, n);
    int64_t up = 0;
    for (const float y : values) {
      ASSERT_TRUE(y == below || y == above) << y;
      up += y == above ? 1 : 0;
    }
    const double share = static_cast<double>(up) / n, deviation = std::sqrt(part * (1 - part) / n);
    EXPECT_NEAR(share, part, 5 * deviation);
  }
}

// 1 + 2^-12 every time: nearest rounding stays at 1 for ever.
TEST(Stochastic, SmallChangesAddUp) {
  double mean = 0;
  constexpr int places = 256, steps = 4096;
  std::vector<bf16> values(places, to_bf16(1.0F));
  for (int step = 0; step < steps; ++step) {
    const RandomStream now({.seed = 11, .stream = 5, .step = static_cast<uint64_t>(step)});
    for (int group = 0; group < places / 32; ++group) {
      const RandomLanes random = random_lanes(now, static_cast<uint64_t>(group));
      for (int half = 0; half < 2; ++half) {
        bf16* at = values.data() + 32 * group + 16 * half;
        store_stochastic<RandomHalf::low>(at, load(at) + Lanes(0x1p-12F), random, half, 16);
      }
    }
  }
  for (const bf16 v : values) mean += to_float(v) / places;
  EXPECT_NEAR(mean, 2.0, 0.03);  // a place deviates by about sqrt(4096 2^-12 2^-7) = 0.09, the mean by 0.006
  EXPECT_EQ(to_float(to_bf16(1.0F + 0x1p-12F)), 1.0F);
}

TEST(Stochastic, ATailWritesNoMore) {
  bf16 out[16];
  for (bf16& v : out) v = to_bf16(9.0F);
  store_stochastic<RandomHalf::low>(out, Lanes(1.0F), random_lanes(stream, 0), 0, 5);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(to_float(out[i]), i < 5 ? 1.0F : 9.0F);
}

}  // namespace
}  // namespace ringmaster::backend
