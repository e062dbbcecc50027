// SPDX-License-Identifier: Apache-2.0
// halves: an f32 in two 16-bit halves, exactly: the bf16 nearest to it and the signed difference of their bit patterns.
//   bits(f32) = (high << 16) + low  in 32 bits,  high = (bits + 0x8000) >> 16,  low in [-32768, 32767], kept as its two's complement
// Two numbers differ from to_bf16(): half-way cases round away from zero, as +32768 does not fit low; and with all 2^32 pairs in
// use, a NaN can not always leave a NaN in high. NaNs whose payload is below 2^15 leave an infinity, those from 0x7fff8000 on a
// zero; arithmetic makes neither, its NaNs are 0x7fc00000 with a sign. What is joined has all bits of what was split, always.
#pragma once
#include <cstring>

#include "core/dtype.h"

namespace ringmaster {

struct Halves {
  bf16 high;
  uint16_t low;
};

inline Halves halves_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return {{static_cast<uint16_t>((bits + 0x8000U) >> 16)}, static_cast<uint16_t>(bits)};
}
inline float joined(Halves h) {
  const auto low = static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(h.low)));
  return std::bit_cast<float>((static_cast<uint32_t>(h.high.bits) << 16) + low);
}

// n elements; the f32 ones may be unaligned.
inline void split_into(bf16* high, uint16_t* low, const void* f32s, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float x;
    std::memcpy(&x, static_cast<const char*>(f32s) + i * 4, sizeof x);
    const Halves h = halves_of(x);
    high[i] = h.high;
    low[i] = h.low;
  }
}
inline void join_into(float* f32s, const bf16* high, const uint16_t* low, int64_t n) {
  for (int64_t i = 0; i < n; ++i) f32s[i] = joined({high[i], low[i]});
}

}  // namespace ringmaster
