// SPDX-License-Identifier: Apache-2.0
#include "core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ringmaster {
namespace {

// The value of 16 bits with `exponent_bits` of exponent, from the definition of IEEE 754.
double value_of(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction != 0 ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

// For neighbours a < b of the format: what lies between rounds to the nearer one, and the middle to the even one.
template <typename To> void check_between(uint16_t low, int exponent_bits, To to) {
  const double a = value_of(low, exponent_bits), b = value_of(static_cast<uint16_t>(low + 1), exponent_bits);
  const auto middle = static_cast<float>((a + b) / 2);  // exact: both formats have fewer bits than f32
  const uint16_t even = (low & 1) != 0 ? static_cast<uint16_t>(low + 1) : low;
  ASSERT_EQ(to(middle).bits, even) << low;
  ASSERT_EQ(to(std::nextafterf(middle, -INFINITY)).bits, low) << low;
  ASSERT_EQ(to(std::nextafterf(middle, INFINITY)).bits, low + 1) << low;
  ASSERT_EQ(to(-middle).bits, even | 0x8000) << low;
}

template <typename Half> void check_all(int exponent_bits, Half (*to)(float)) {
  const auto infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  for (int bits = 0; bits < 65536; ++bits) {
    const Half half{static_cast<uint16_t>(bits)};
    const double value = value_of(half.bits, exponent_bits);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(to_float(half))) << bits;
      ASSERT_TRUE(std::isnan(to_float(to(to_float(half))))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(to_float(half)), value) << bits;
    ASSERT_EQ(to(to_float(half)).bits, bits);
    if (bits + 1 < infinity) check_between(half.bits, exponent_bits, to);
  }
}

}  // namespace

TEST(F16, AllValuesAndTheMiddlesBetweenThem) { check_all<f16>(5, to_f16); }
TEST(Bf16, AllValuesAndTheMiddlesBetweenThem) { check_all<bf16>(8, to_bf16); }

TEST(F16, OverflowsToInfinityFromTheMiddleOn) {
  EXPECT_EQ(to_f16(65519.996F).bits, 0x7bff);
  EXPECT_EQ(to_f16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(to_f16(-65520.0F).bits, 0xfc00);
}

TEST(Bf16, OverflowsToInfinityAndKeepsSignalingNan) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_TRUE(
      std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001U)))));  // its payload lies in the dropped bits
}

// What mixed precision is about (Micikevicius et al. 2018, section 3): what 16 bits lose, and what keeps it.
TEST(F16, SmallGradientsVanishUnlessScaled) {
  const float least = std::ldexp(1.0F, -24), gradient = std::ldexp(1.0F, -27), scale = std::ldexp(1.0F, 16);
  EXPECT_EQ(to_float(to_f16(least)), least);
  EXPECT_EQ(to_float(to_f16(gradient)), 0.0F);
  EXPECT_EQ(to_float(to_f16(gradient * scale)) / scale, gradient);
}

TEST(F16, SmallUpdatesAreLostInWeightsAndKeptInMasters) {
  const float update = std::ldexp(1.0F, -12);
  EXPECT_EQ(to_float(to_f16(1.0F + update)), 1.0F);
  EXPECT_NE(1.0F + update, 1.0F);
  EXPECT_EQ(to_float(to_bf16(1.0F + std::ldexp(1.0F, -9))), 1.0F);
  EXPECT_NE(to_float(to_f16(1.0F + std::ldexp(1.0F, -9))), 1.0F);
}

TEST(DType, NamesRoundTripAndSizesAreTheTypes) {
  for (const DType d :
       {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::i64, DType::u8, DType::u16}) {
    EXPECT_EQ(dtype_from_name(name(d)), d);
  }
  EXPECT_EQ(dtype_from_name("f31"), std::nullopt);
  EXPECT_EQ(size_of(dtype_of<double>::value), sizeof(double));
  EXPECT_EQ(size_of(dtype_of<float>::value), sizeof(float));
  EXPECT_EQ(size_of(dtype_of<bf16>::value), sizeof(bf16));
  EXPECT_EQ(size_of(dtype_of<f16>::value), sizeof(f16));
  EXPECT_EQ(size_of(dtype_of<int64_t>::value), sizeof(int64_t));
  EXPECT_EQ(size_of(dtype_of<int32_t>::value), sizeof(int32_t));
  EXPECT_EQ(size_of(dtype_of<uint16_t>::value), sizeof(uint16_t));
  EXPECT_EQ(size_of(dtype_of<uint8_t>::value), sizeof(uint8_t));
}

}  // namespace ringmaster
