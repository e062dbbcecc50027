// SPDX-License-Identifier: Apache-2.0
// Lanes split and join as single numbers do, the whole register and a part of it.
#include "backend/cpu/halves.h"

#include <gtest/gtest.h>

#include "core/halves.h"

namespace ringmaster::backend {
namespace {

TEST(HalvesOfLanes, AreThoseOfTheNumbers) {
  const uint32_t uppers[] = {0x0000, 0x8000, 0x0001, 0x3f7f, 0xbf80, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0xffff};
  for (const uint32_t upper : uppers) {
    for (uint32_t lower = 0; lower < 65536; lower += 16) {
      const int64_t n = 1 + lower / 16 % 16;
      float x[16], back[16];
      for (uint32_t i = 0; i < 16; ++i) x[i] = std::bit_cast<float>(upper << 16 | (lower + i));
      bf16 high[17] = {};
      uint16_t low[17] = {};
      store_split(high, low, load(x), n);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(high[i].bits, halves_of(x[i]).high.bits) << std::hex << upper << " " << lower + i;
        ASSERT_EQ(low[i], halves_of(x[i]).low);
      }
      ASSERT_EQ(high[n].bits, 0);
      ASSERT_EQ(low[n], 0);
      store(back, load_joined(high, low, n));
      ASSERT_EQ(std::memcmp(back, x, static_cast<size_t>(n) * sizeof(float)), 0);
    }
  }
}

}  // namespace
}  // namespace ringmaster::backend
