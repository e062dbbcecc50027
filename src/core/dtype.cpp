// SPDX-License-Identifier: Apache-2.0
#include "core/dtype.h"

#include <immintrin.h>

#include <array>
#include <utility>

namespace ringmaster {
namespace {
constexpr std::array<std::pair<DType, std::string_view>, 8> names{{{DType::f32, "f32"},
                                                                   {DType::bf16, "bf16"},
                                                                   {DType::f16, "f16"},
                                                                   {DType::f64, "f64"},
                                                                   {DType::i32, "i32"},
                                                                   {DType::i64, "i64"},
                                                                   {DType::u8, "u8"},
                                                                   {DType::u16, "u16"}}};
}  // namespace

int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16:
    case DType::u16: return 2;
    case DType::u8: return 1;
  }
  return 0;
}

std::string_view name(DType dtype) {
  for (const auto& [d, text] : names)
    if (d == dtype) return text;
  return "?";
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const auto& [d, text] : names)
    if (text == name) return d;
  return std::nullopt;
}

// F16C is part of the x86-64-v3 floor.
float to_float(f16 x) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(x.bits))); }
f16 to_f16(float x) {
  return {static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)))};
}

}  // namespace ringmaster
