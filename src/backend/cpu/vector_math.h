// SPDX-License-Identifier: Apache-2.0
// vector_math: exp of sixteen floats, or of one in a loop that the compiler vectorises, within 2 ulp of the true value, the same bits
// on every ISA.
//   exp(x) = 2^n * exp(r), n = round(x / ln 2), r = x - n ln 2 in [-ln2/2, ln2/2]        Cody and Waite 1980, ch. 6
// exp(r) is its Taylor polynomial of degree 7 (remainder 5e-9 relative at the interval's ends).
#pragma once
#include <bit>

#include "backend/cpu/lanes.h"

namespace ringmaster::backend {

// 2^n for integers n in [-126, 127], held as floats
inline Lanes power_of_two(Lanes n) {
  const auto half = [](__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23));
  };
  return {half(n.lo), half(n.hi)};
}
inline Lanes round(Lanes x) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.lo, nearest), _mm256_round_ps(x.hi, nearest)};
}

// Subnormal results, overflow to infinity, 0 for -infinity and NaN come out as for std::exp.
inline Lanes exp(Lanes x) {
  // beyond these the result is 0 or infinity anyway; NaN passes because min and max return their second operand
  x = max(Lanes(-104.0F), min(Lanes(89.0F), x));
  const Lanes n = round(x * Lanes(0x1.715476p+0F));
  // ln 2 in two parts: the first has 15 trailing zero bits, so that n times it is exact
  Lanes r = fma(n, Lanes(-0x1.62e4p-1F), x);
  r = fma(n, Lanes(-0x1.7f7d1cp-20F), r);
  Lanes p(1.0F / 5040.0F);
  for (const float c : {1.0F / 720.0F, 1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F})
    p = fma(p, r, Lanes(c));
  // 2^n in two factors: n reaches from -150 to 128
  const Lanes half = round(n * Lanes(0.5F));
  return p * power_of_two(half) * power_of_two(n - half);
}

// 2^n for integers n in [-126, 127], held as a float: what is added to brings n into the lowest bits.
inline float power_of_two(float n) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(n + 0x1.8p+23F) << 23) + (127U << 23));
}

// The bits of exp(Lanes), as a scalar, for |x| <= 87, where 2^n is one factor, and NaN.
inline float exp_of(float x) {
  const float n = __builtin_rintf(x * 0x1.715476p+0F);
  float r = __builtin_fmaf(n, -0x1.62e4p-1F, x);
  r = __builtin_fmaf(n, -0x1.7f7d1cp-20F, r);
  float p = __builtin_fmaf(1.0F / 5040.0F, r, 1.0F / 720.0F);  // no inner loop: the outer one would not be vectorised
  p = __builtin_fmaf(p, r, 1.0F / 120.0F);
  p = __builtin_fmaf(p, r, 1.0F / 24.0F);
  p = __builtin_fmaf(p, r, 1.0F / 6.0F);
  p = __builtin_fmaf(p, r, 0.5F);
  p = __builtin_fmaf(p, r, 1.0F);
  p = __builtin_fmaf(p, r, 1.0F);
  return p * power_of_two(n);
}

}  // namespace ringmaster::backend
