// SPDX-License-Identifier: Apache-2.0
// avx512: the arithmetics of register_products.h in 512-bit registers. For the object files *_avx512.cpp alone, which are built with
// those options and run where CPUID has them.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <limits>

#include "backend/cpu/register_products.h"

namespace ringmaster::backend::avx512 {

inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

struct Zmm {
  __m512 v;
};
[[gnu::always_inline]] inline Zmm operator+(Zmm a, Zmm b) { return {_mm512_add_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline Zmm operator-(Zmm a, Zmm b) { return {_mm512_sub_ps(a.v, b.v)}; }
[[gnu::always_inline]] inline Zmm operator*(Zmm a, Zmm b) { return {_mm512_mul_ps(a.v, b.v)}; }

struct Avx512 {
  using V = Zmm;
  static constexpr int mr = 8, nr = 2;

  static V set(float x) { return {_mm512_set1_ps(x)}; }
  static V load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static void store(float* p, V x) { _mm512_storeu_ps(p, x.v); }
  static V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }

  static V seen(float key, V limit, V x) {
    const __mmask16 yes = _mm512_cmp_ps_mask(_mm512_set1_ps(key), limit.v, _CMP_LT_OQ);
    return {_mm512_mask_mov_ps(_mm512_set1_ps(minus_infinity), yes, x.v)};
  }
  static V inverse_or_zero(V x) {
    return {_mm512_maskz_div_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_NEQ_UQ), _mm512_set1_ps(1.0F), x.v)};
  }
  // as in flash_avx2.cpp
  static V exp2(V x) {
    const V magic = set(0x1.8p+23F), t = x + magic, r = x - (t - magic);
    V p = set(exp2_terms[0]);
#pragma GCC unroll 8
    for (int i = 1; i < 8; ++i) p = fma(p, r, set(exp2_terms[i]));
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
    const __mmask16 large = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(-125.0F), _CMP_NLT_UQ);
    return {_mm512_castsi512_ps(_mm512_maskz_add_epi32(large, _mm512_castps_si512(p.v), exponent))};
  }
};

struct F32 : Avx512 {
  using U = Zmm;
  static constexpr int pair = 1;

  static U load_units(const uint32_t* p) { return {_mm512_loadu_ps(p)}; }
  static U broadcast(const uint32_t* p) { return {_mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*p)))}; }
  static V dot(U a, U b, V c) { return fma(a, b, c); }
  static void store_rows(uint32_t* p, int64_t stride, V a, V b) {
    _mm512_storeu_ps(p, a.v);
    _mm512_storeu_ps(p + stride, b.v);
  }
  static void store_pairs(uint32_t* p, int64_t stride, V a, V b) { store_rows(p, stride, a, b); }
};

struct Bf16 : Avx512 {
  using U = __m512bh;
  static constexpr int pair = 2;

  static U load_units(const uint32_t* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
  static U broadcast(const uint32_t* p) { return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*p))); }
  static V dot(U a, U b, V c) { return {_mm512_dpbf16_ps(c.v, a, b)}; }
  // 2^floor(x) times a polynomial for the rest in [0, 1), minimax within 3e-6: its rounding to bf16 is a thousand times coarser
  static V exp2(V x) {
    const V r{_mm512_reduce_ps(x.v, 0x09)};  // x - floor(x); 0 for infinities
    V p = set(0x1.b7f73p-7F);
    p = fma(p, r, set(0x1.abf868p-5F));
    p = fma(p, r, set(0x1.ee245p-3F));
    p = fma(p, r, set(0x1.62d6c6p-1F));
    p = fma(p, r, set(1.0F));
    return {_mm512_scalef_ps(p.v, x.v)};
  }
  static __m512i narrow(V low, V high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v)); }
  static void store_rows(uint32_t* p, int64_t stride, V a, V b) {
    const __m512i both = narrow(a, b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_castsi512_si256(both));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + stride), _mm512_extracti64x4_epi64(both, 1));
  }
  // pairs of a and b, lane by lane
  static __m512i pairs(V a, V b) {
    alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), narrow(a, b));
  }
  static void store_pairs(uint32_t* p, int64_t, V a, V b) { _mm512_storeu_si512(p, pairs(a, b)); }
  // the same, eight to each place
  static void store_halves(uint32_t* p, int64_t to_next, V a, V b) {
    const __m512i both = pairs(a, b);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_castsi512_si256(both));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + to_next), _mm512_extracti64x4_epi64(both, 1));
  }
  // pairs of 16 elements of rows a and b of 32 bf16, from element `first` (0 or 16) on
  static __m512i interleave(__m512i a, __m512i b, int first) {
    const __m512i from_a =
        _mm512_cvtepu16_epi32(first == 0 ? _mm512_castsi512_si256(a) : _mm512_extracti64x4_epi64(a, 1));
    const __m512i from_b =
        _mm512_cvtepu16_epi32(first == 0 ? _mm512_castsi512_si256(b) : _mm512_extracti64x4_epi64(b, 1));
    return _mm512_or_si512(from_a, _mm512_slli_epi32(from_b, 16));
  }
};

}  // namespace ringmaster::backend::avx512
