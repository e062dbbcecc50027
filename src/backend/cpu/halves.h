// SPDX-License-Identifier: Apache-2.0
// halves: 16 lanes of f32 kept in two 16-bit halves (core/halves.h).
#pragma once
#include "backend/cpu/lanes.h"

namespace ringmaster::backend {

inline Lanes load_joined(const bf16* high, const uint16_t* low) {
  const auto join = [](__m128i h, __m128i l) {
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_cvtepi16_epi32(l)));
  };
  return {join(load_half(high), load_half(low)), join(load_half(high + 8), load_half(low + 8))};
}

inline void store_split(bf16* high, uint16_t* low, Lanes x) {
  const auto pack = [](__m256i u) {
    return _mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1));
  };
  const auto split = [&](__m256 v, int64_t at) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_set1_epi32(0x8000));
    store_half(high + at, pack(_mm256_srli_epi32(rounded, 16)));
    store_half(low + at, pack(_mm256_and_si256(bits, _mm256_set1_epi32(0xffff))));
  };
  split(x.lo, 0);
  split(x.hi, 8);
}

// The first n <= 16 of them.
inline Lanes load_joined(const bf16* high, const uint16_t* low, int64_t n) {
  if (n == Lanes::width) return load_joined(high, low);
  bf16 h[Lanes::width] = {};
  uint16_t l[Lanes::width] = {};
  std::memcpy(h, high, static_cast<size_t>(n) * sizeof *h);
  std::memcpy(l, low, static_cast<size_t>(n) * sizeof *l);
  return load_joined(h, l);
}
inline void store_split(bf16* high, uint16_t* low, Lanes x, int64_t n) {
  if (n == Lanes::width) return store_split(high, low, x);
  bf16 h[Lanes::width];
  uint16_t l[Lanes::width];
  store_split(h, l, x);
  std::memcpy(high, h, static_cast<size_t>(n) * sizeof *h);
  std::memcpy(low, l, static_cast<size_t>(n) * sizeof *l);
}

}  // namespace ringmaster::backend
