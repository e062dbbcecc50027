// SPDX-License-Identifier: Apache-2.0
// dtype: element types of tensors, and the 16-bit float conversions (round to nearest even) that the kernels share.
#pragma once
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ringmaster {

enum class DType : uint8_t { f32, bf16, f16, f64, i32, i64, u8, u16 };

int64_t size_of(DType dtype);        // bytes of one element
std::string_view name(DType dtype);  // "f32", "bf16", ...
std::optional<DType> dtype_from_name(std::string_view name);
inline bool is_float(DType d) { return d == DType::f32 || d == DType::bf16 || d == DType::f16 || d == DType::f64; }

// Storage types of 16-bit floats: bits only, no arithmetic.
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

inline float to_float(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline bf16 to_bf16(float x) {  // nearest even; NaN stays NaN
  const auto u = std::bit_cast<uint32_t>(x);
  const bool nan = (u & 0x7fffffffU) > 0x7f800000U;
  const uint32_t rounded = u + 0x7fffU + ((u >> 16) & 1U);
  return {static_cast<uint16_t>(nan ? (u >> 16) | 0x40U : rounded >> 16)};
}
float to_float(f16 x);
f16 to_f16(float x);  // nearest even; overflow to infinity; NaN stays NaN

template <typename T> struct dtype_of;
template <> struct dtype_of<float> { static constexpr DType value = DType::f32; };
template <> struct dtype_of<double> { static constexpr DType value = DType::f64; };
template <> struct dtype_of<bf16> { static constexpr DType value = DType::bf16; };
template <> struct dtype_of<f16> { static constexpr DType value = DType::f16; };
template <> struct dtype_of<int32_t> { static constexpr DType value = DType::i32; };
template <> struct dtype_of<int64_t> { static constexpr DType value = DType::i64; };
template <> struct dtype_of<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct dtype_of<uint16_t> { static constexpr DType value = DType::u16; };

}  // namespace ringmaster
