// SPDX-License-Identifier: Apache-2.0
// What goes past the caches is what goes through them.
#include "backend/cpu/past_caches.h"

#include <gtest/gtest.h>

namespace ringmaster::backend {
namespace {

template <typename T> void expect_equal_copies() {
  float x[64];
  for (int i = 0; i < 64; ++i) x[i] = static_cast<float>(i - 20) * 1.0009765625F;
  for (int64_t n = 0; n <= 64; ++n) {
    alignas(16) T past[72] = {};
    T through[72] = {};
    copy_lanes_past_caches(x, past, n);
    fence_stores();
    copy_lanes(x, through, n);
    ASSERT_EQ(std::memcmp(past, through, sizeof past), 0) << n << " elements";
  }
}

TEST(PastCaches, TheSameBitsAsThroughThem) {
  expect_equal_copies<bf16>();
  expect_equal_copies<f16>();
}

}  // namespace
}  // namespace ringmaster::backend
