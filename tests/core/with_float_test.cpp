// SPDX-License-Identifier: Apache-2.0
#include "core/with_float.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace ringmaster {
namespace {

template <typename Expected> constexpr auto is = []<typename T>(T) { return std::is_same_v<T, Expected>; };

TEST(WithFloat, CallsWithTheStorageType) {
  EXPECT_TRUE(with_float(DType::f32, is<float>));
  EXPECT_TRUE(with_float(DType::bf16, is<bf16>));
  EXPECT_TRUE(with_float(DType::f16, is<f16>));
  EXPECT_TRUE(with_16_bit_float(DType::bf16, is<bf16>));
  EXPECT_TRUE(with_16_bit_float(DType::f16, is<f16>));
}

TEST(WithFloat, RefusesTheOthers) {
  for (const DType dtype : {DType::i32, DType::u16, DType::f64}) EXPECT_THROW(with_float(dtype, is<float>), Error);
  EXPECT_THROW(with_16_bit_float(DType::f32, is<float>), Error);
}

}  // namespace
}  // namespace ringmaster
