// SPDX-License-Identifier: Apache-2.0
// The lanes that our kernels compute in: exp against the C library in f64, 16-bit storage against core/dtype.h.
#include "backend/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace ringmaster::backend {
namespace {

using Sixteen = std::array<float, 16>;

Sixteen exp_of(const Sixteen& x) {
  Sixteen y;
  store(y.data(), exp(load(x.data())));
  return y;
}

// distance in units of the last place of the exact value, as f32
double ulps(float got, double exact) {
  const auto rounded = static_cast<float>(exact);
  const double place = static_cast<double>(std::nextafter(std::abs(rounded), std::numeric_limits<float>::infinity())) -
                       static_cast<double>(std::abs(rounded));
  return std::abs(static_cast<double>(got) - exact) / place;
}

TEST(Exp, IsWithinTwoUlpOfTheExactValue) {
  double worst = 0;
  Sixteen x;
  size_t filled = 0;
  for (uint32_t bits = 0; bits < 0x42d00000U; bits += 251) {  // 0 .. 104, both signs
    for (const float sign : {1.0F, -1.0F}) {
      x[filled++] = sign * std::bit_cast<float>(bits);
      if (filled < x.size()) continue;
      filled = 0;
      const Sixteen y = exp_of(x);
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = std::exp(static_cast<double>(x[i]));
        if (exact < std::numeric_limits<float>::max()) worst = std::max(worst, ulps(y[i], exact));
      }
    }
  }
  EXPECT_LE(worst, 2.0);
}

TEST(Exp, OfOneFloatHasTheBitsOfLanesUpTo87) {
  Sixteen x;
  for (uint64_t bits = 0; bits <= 0xffffffffU; bits += 16 * 4099) {
    for (uint32_t i = 0; i < 16; ++i) x[i] = std::bit_cast<float>(static_cast<uint32_t>(bits + 4099 * i));
    const Sixteen y = exp_of(x);
    for (size_t i = 0; i < 16; ++i) {
      if (std::abs(x[i]) > 87.0F) continue;  // a NaN is none of these
      const float one = backend::exp_of(x[i]);
      if (std::isnan(one) && std::isnan(y[i])) continue;
      ASSERT_EQ(std::bit_cast<uint32_t>(one), std::bit_cast<uint32_t>(y[i])) << x[i];
    }
  }
}

TEST(Exp, TakesInfinitiesNanAndZero) {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const Sixteen y =
      exp_of({0.0F, -0.0F, infinity, -infinity, nan, 88.0F, 89.0F, 1e30F, -1e30F, -87.5F, -103.0F, -105.0F});
  EXPECT_EQ(y[0], 1.0F);
  EXPECT_EQ(y[1], 1.0F);
  EXPECT_EQ(y[2], infinity);
  EXPECT_EQ(y[3], 0.0F);
  EXPECT_TRUE(std::isnan(y[4]));
  EXPECT_TRUE(std::isfinite(y[5]));
  EXPECT_EQ(y[6], infinity);
  EXPECT_EQ(y[7], infinity);
  EXPECT_EQ(y[8], 0.0F);
  EXPECT_EQ(std::fpclassify(y[9]), FP_SUBNORMAL);
  EXPECT_EQ(std::fpclassify(y[10]), FP_SUBNORMAL);
  EXPECT_EQ(y[11], 0.0F);
}

template <typename T, typename FromFloat> void expect_same_rounding(FromFloat from_float) {
  for (uint64_t bits = 0; bits <= 0xffffffffU; bits += 16 * 4093) {
    std::array<float, 16> wide;
    std::array<T, 16> narrow;
    for (uint32_t i = 0; i < 16; ++i) wide[i] = std::bit_cast<float>(static_cast<uint32_t>(bits + 4093 * i));
    store(narrow.data(), load(wide.data()));
    for (size_t i = 0; i < 16; ++i) ASSERT_EQ(narrow[i].bits, from_float(wide[i]).bits) << wide[i];
  }
}

TEST(Lanes, RoundTo16BitLikeCore) {
  expect_same_rounding<bf16>([](float x) { return to_bf16(x); });
  expect_same_rounding<f16>([](float x) { return to_f16(x); });
}

template <typename T> void expect_same_widening() {
  for (uint32_t bits = 0; bits < 0x10000U; bits += 16) {
    std::array<T, 16> narrow;
    std::array<float, 16> wide;
    for (uint32_t i = 0; i < 16; ++i) narrow[i].bits = static_cast<uint16_t>(bits + i);
    store(wide.data(), load(narrow.data()));
    for (size_t i = 0; i < 16; ++i) {
      const float expected = to_float(narrow[i]);
      ASSERT_TRUE(std::isnan(expected) ? std::isnan(wide[i]) : wide[i] == expected) << narrow[i].bits;
    }
  }
}

TEST(Lanes, WidenFrom16BitLikeCore) {
  expect_same_widening<bf16>();
  expect_same_widening<f16>();
}

TEST(Lanes, MeetInOneTree) {
  Sixteen x;
  for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0F / static_cast<float>(3 * i + 1);
  Sixteen tree = x;
  for (size_t half = 8; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) tree[i] += tree[i + half];
  EXPECT_EQ(sum(load(x.data())), tree[0]);
  EXPECT_EQ(max_of(load(x.data())), 1.0F);
}

TEST(Lanes, TailsTouchOnlyTheirElements) {
  for (int64_t n = 0; n < 16; ++n) {
    Sixteen x, y;
    x.fill(2.0F);
    y.fill(-1.0F);
    store_tail(y.data(), load_tail(x.data(), n, 9.0F), n);
    for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(y[static_cast<size_t>(i)], i < n ? 2.0F : -1.0F);
    EXPECT_EQ(max_of(load_tail(x.data(), n, 9.0F)), 9.0F);
  }
}

}  // namespace
}  // namespace ringmaster::backend
