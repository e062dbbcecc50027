// SPDX-License-Identifier: Apache-2.0
// lanes: sixteen floats in two AVX2 registers, the unit in which our kernels compute and reduce. The order of every sum is fixed
// by it (lane i holds elements i, i+16, ...; lanes meet in one fixed tree), so that bits depend neither on ISA nor on threads.
// 16-bit floats widen on load and round once, to nearest even, on store.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"

namespace ringmaster::backend {

struct Lanes {
  static constexpr int64_t width = 16;
  __m256 lo, hi;

  Lanes() = default;
  Lanes(__m256 a, __m256 b) : lo(a), hi(b) {}
  explicit Lanes(float x) : lo(_mm256_set1_ps(x)), hi(lo) {}
};

inline Lanes operator+(Lanes a, Lanes b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Lanes operator-(Lanes a, Lanes b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Lanes operator*(Lanes a, Lanes b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Lanes operator/(Lanes a, Lanes b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
// a * b + c, rounded once
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// The second operand where either is NaN.
inline Lanes max(Lanes a, Lanes b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Lanes min(Lanes a, Lanes b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Lanes sqrt(Lanes a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }

// ---- loads and stores
inline Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Lanes x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}

inline __m128i load_half(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store_half(void* p, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }

inline Lanes load(const bf16* p) {
  const auto widen = [](__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); };
  return {widen(load_half(p)), widen(load_half(p + 8))};
}
inline void store(bf16* p, Lanes x) {
  const auto narrow = [](__m256 v) {
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i r = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
  };
  store_half(p, narrow(x.lo));
  store_half(p + 8, narrow(x.hi));
}

inline Lanes load(const f16* p) { return {_mm256_cvtph_ps(load_half(p)), _mm256_cvtph_ps(load_half(p + 8))}; }
inline void store(f16* p, Lanes x) {
  store_half(p, _mm256_cvtps_ph(x.lo, _MM_FROUND_TO_NEAREST_INT));
  store_half(p + 8, _mm256_cvtps_ph(x.hi, _MM_FROUND_TO_NEAREST_INT));
}

// The first n < 16 elements; the other lanes take `fill`.
template <typename T> Lanes load_tail(const T* p, int64_t n, float fill = 0.0F) {
  alignas(64) T buffer[Lanes::width] = {};
  alignas(64) float wide[Lanes::width];
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  store(wide, load(buffer));
  std::fill(wide + n, wide + Lanes::width, fill);
  return load(wide);
}
template <typename T> void store_tail(T* p, Lanes x, int64_t n) {
  alignas(64) T buffer[Lanes::width];
  store(buffer, x);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(T));
}

// f32 without the detour through memory: all ones in the lanes below n
inline __m256i below(int64_t n, int first) {
  const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
inline Lanes load_tail(const float* p, int64_t n, float fill = 0.0F) {
  const auto half = [&](const float* q, __m256i mask) {
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(q, mask), _mm256_castsi256_ps(mask));
  };
  return {half(p, below(n, 0)), half(p + 8, below(n, 8))};
}
inline void store_tail(float* p, Lanes x, int64_t n) {
  _mm256_maskstore_ps(p, below(n, 0), x.lo);
  _mm256_maskstore_ps(p + 8, below(n, 8), x.hi);
}

// ---- reductions of the lanes, as a fixed tree: i with i+8, then i+4, i+2, i+1
inline float sum(Lanes x) {
  const __m256 a = _mm256_add_ps(x.lo, x.hi);
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
inline float max_of(Lanes x) {
  const __m256 a = _mm256_max_ps(x.lo, x.hi);
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

// Calls body(offset, count) for 0, 16, 32, ...: count is 16 but in the last call, which may be short.
template <typename Body> void for_lanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + Lanes::width <= n; i += Lanes::width) body(i, Lanes::width);
  if (i < n) body(i, n - i);
}
// load and store of `count` lanes, for use in for_lanes: the compiler drops the test where count is the constant 16
template <typename T> Lanes load(const T* p, int64_t count, float fill = 0.0F) {
  return count == Lanes::width ? load(p) : load_tail(p, count, fill);
}
template <typename T> void store(T* p, Lanes x, int64_t count) {
  if (count == Lanes::width) {
    store(p, x);
  } else {
    store_tail(p, x, count);
  }
}

// n elements of one dtype as another
template <typename From, typename To> void copy_lanes(const From* from, To* to, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t count) { store(to + i, load(from + i, count), count); });
}

// a + b, each sum rounded once; `to` may be one of them
template <typename T> void add_lanes(const T* a, const T* b, T* to, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t count) { store(to + i, load(a + i, count) + load(b + i, count), count); });
}

}  // namespace ringmaster::backend
