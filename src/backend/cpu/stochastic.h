// SPDX-License-Identifier: Apache-2.0
// stochastic: f32 to bf16 by stochastic rounding, up with the probability that the part cut off says, so that a sum of many small
// changes is right on average.     Gupta et al. 2015, arXiv:1502.02551, section 3
//   numerics: a function of the random stream and the element alone; what bf16 holds stays as it is.
#pragma once
#include "backend/cpu/lanes.h"
#include "core/philox.h"

namespace ringmaster::backend {

// 32 random bits for each of 32 elements: lane l of row r belongs to element 32 group + 8 r + l.
struct RandomLanes {
  static constexpr int64_t width = 32;
  __m256i rows[4];
};

// Eight Philox blocks side by side: the word of element e is stream.words(0, 8 (e / 32) + e % 8)[e / 8 % 4].
inline RandomLanes random_lanes(const RandomStream& stream, uint64_t group) {
  const auto multiply = [](__m256i a, uint32_t by, __m256i& high, __m256i& low) {
    const __m256i factor = _mm256_set1_epi32(static_cast<int>(by));
    const __m256i even = _mm256_mul_epu32(a, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  };
  const auto all = [](uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); };
  const uint64_t first = 8 * group;  // a multiple of 8: adding a lane never carries
  const PhiloxCounter start = stream.counter(0, first);
  PhiloxKey key = stream.key();
  __m256i c0 = _mm256_add_epi32(all(start[0]), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  __m256i c1 = all(start[1]), c2 = all(start[2]), c3 = all(start[3]);
  for (int round = 0; round < philox_rounds; ++round) {
    __m256i high0, low0, high2, low2;
    multiply(c0, philox_multipliers[0], high0, low0);
    multiply(c2, philox_multipliers[1], high2, low2);
    c0 = _mm256_xor_si256(_mm256_xor_si256(high2, c1), all(key[0]));
    c1 = low2;
    c2 = _mm256_xor_si256(_mm256_xor_si256(high0, c3), all(key[1]));
    c3 = low0;
    key = next_round(key);
  }
  return {{c0, c1, c2, c3}};
}

// Which half of an element's 32 bits a rounding takes: two roundings of one element are independent.
enum class RandomHalf { low, high };

// The first n <= 16 of the lanes; `half` 0 or 1 says which 16 of the 32 elements they are.
template <RandomHalf which> void store_stochastic(bf16* p, Lanes x, const RandomLanes& random, int half, int64_t n) {
  const auto narrow = [](__m256 v, __m256i bits) {
    const __m256i cut =
        which == RandomHalf::low ? _mm256_and_si256(bits, _mm256_set1_epi32(0xffff)) : _mm256_srli_epi32(bits, 16);
    const __m256i r = _mm256_srli_epi32(_mm256_add_epi32(_mm256_castps_si256(v), cut), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
  };
  alignas(32) bf16 buffer[Lanes::width];
  bf16* to = n == Lanes::width ? p : buffer;
  store_half(to, narrow(x.lo, random.rows[2 * half]));
  store_half(to + 8, narrow(x.hi, random.rows[2 * half + 1]));
  if (to != p) std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(bf16));
}

}  // namespace ringmaster::backend
