// SPDX-License-Identifier: Apache-2.0
// Halves: every f32 comes back, and the upper half is the bf16 that products may read.
#include "core/halves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ringmaster {
namespace {

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
float float_of(uint32_t bits) { return std::bit_cast<float>(bits); }

// Around 0, the smallest and the largest denormal, 1, the largest number, infinity, the quiet bit and the last NaN.
const uint32_t uppers[] = {0x0000, 0x0001, 0x0002, 0x007f, 0x0080, 0x3f7f, 0x3f80, 0x3f81,
                           0x7f7e, 0x7f7f, 0x7f80, 0x7f81, 0x7fbf, 0x7fc0, 0x7fc1, 0x7fff};

template <typename Check> void for_patterns(const Check& check) {
  for (const uint32_t upper : uppers)
    for (const uint32_t sign : {0U, 0x8000U})
      for (uint32_t lower = 0; lower < 65536; ++lower) check((upper | sign) << 16 | lower);
}

TEST(Halves, EveryPatternComesBack) {
  for_patterns([](uint32_t bits) {
    const Halves h = halves_of(float_of(bits));
    ASSERT_EQ(bits_of(joined(h)), bits) << std::hex << bits;
    const auto low = static_cast<int16_t>(h.low);  // the definition, in whole numbers
    ASSERT_EQ(static_cast<uint32_t>((static_cast<int64_t>(h.high.bits) << 16) + low), bits) << std::hex << bits;
  });
}

TEST(Halves, TheUpperOneIsTheNearestBf16AndTiesGoUp) {
  for_patterns([](uint32_t bits) {
    const float x = float_of(bits);
    if (std::isnan(x)) return;
    const bool tie_to_even_is_down = (bits & 0x1ffff) == 0x8000;
    const uint32_t expected = to_bf16(x).bits + (tie_to_even_is_down ? 1U : 0U);
    ASSERT_EQ(halves_of(x).high.bits, expected) << std::hex << bits;
  });
}

// The NaNs that arithmetic makes, and all that carry something above the last 15 bits, but for the topmost ones.
TEST(Halves, NanStaysNanInTheUpperOne) {
  for_patterns([](uint32_t bits) {
    const uint32_t payload = bits & 0x7fffff;
    if (!std::isnan(float_of(bits)) || payload >= 0x7f8000) return;
    const float high = to_float(halves_of(float_of(bits)).high);
    if (payload < 0x8000) {
      ASSERT_TRUE(std::isinf(high)) << std::hex << bits;
    } else {
      ASSERT_TRUE(std::isnan(high)) << std::hex << bits;
    }
  });
  const volatile float zero = 0.0F;
  EXPECT_TRUE(std::isnan(to_float(halves_of(zero / zero).high)));
}

TEST(Halves, ArraysMayBeUnaligned) {
  std::vector<char> bytes(1 + 37 * 4);
  std::vector<float> values(37), back(37);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::ldexp(1.1F, static_cast<int>(i) - 18);
  std::memcpy(bytes.data() + 1, values.data(), 37 * 4);
  std::vector<bf16> high(37);
  std::vector<uint16_t> low(37);
  split_into(high.data(), low.data(), bytes.data() + 1, 37);
  join_into(back.data(), high.data(), low.data(), 37);
  EXPECT_EQ(back, values);
}

}  // namespace
}  // namespace ringmaster
