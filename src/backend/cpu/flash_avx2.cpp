// SPDX-License-Identifier: Apache-2.0
// flash_avx2: flash attention's loops in f32, in the 16 lanes of every kernel (lanes.h).
#include "backend/cpu/flash_backward.h"
#include "backend/cpu/lanes.h"

namespace ringmaster::backend::flash {
namespace {

template <bool Rounded> struct Avx2 {
  using V = Lanes;
  using U = Lanes;
  static constexpr int mr = 4, nr = 1, pair = 1;

  static V set(float x) { return V(x); }
  static V load(const float* p) { return backend::load(p); }
  static void store(float* p, V x) { backend::store(p, x); }
  static U load_units(const uint32_t* p) { return backend::load(reinterpret_cast<const float*>(p)); }
  static U broadcast(const uint32_t* p) {
    const __m256 x = _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
    return {x, x};
  }
  static V dot(U a, U b, V c) { return backend::fma(a, b, c); }
  static V fma(V a, V b, V c) { return backend::fma(a, b, c); }
  static V max(V a, V b) { return backend::max(a, b); }

  static V seen(float key, V limit, V x) {
    const __m256 k = _mm256_set1_ps(key), never = _mm256_set1_ps(nothing);
    return {_mm256_blendv_ps(never, x.lo, _mm256_cmp_ps(k, limit.lo, _CMP_LT_OQ)),
            _mm256_blendv_ps(never, x.hi, _mm256_cmp_ps(k, limit.hi, _CMP_LT_OQ))};
  }
  static V inverse_or_zero(V x) {
    const __m256 zero = _mm256_setzero_ps();
    const V y = V(1.0F) / x;
    return {_mm256_and_ps(y.lo, _mm256_cmp_ps(x.lo, zero, _CMP_NEQ_UQ)),
            _mm256_and_ps(y.hi, _mm256_cmp_ps(x.hi, zero, _CMP_NEQ_UQ))};
  }
  // 2^x for x <= 127; exactly 0 below 2^-125, which -infinity is; NaN stays
  static V exp2(V x) {
    const V magic(0x1.8p+23F), t = x + magic, r = x - (t - magic);  // t holds the nearest integer in its low bits
    V p(exp2_terms[0]);
    for (int i = 1; i < 8; ++i) p = fma(p, r, V(exp2_terms[i]));
    const auto half = [](__m256 v, __m256 exponent, __m256 arg) {
      const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(exponent), 23);
      const __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), bits));
      return _mm256_and_ps(y, _mm256_cmp_ps(arg, _mm256_set1_ps(-125.0F), _CMP_NLT_UQ));
    };
    return {half(p.lo, t.lo, x.lo), half(p.hi, t.hi, x.hi)};
  }

  static void store_units(uint32_t* p, V x) {
    if constexpr (Rounded) {
      alignas(32) bf16 narrow[Lanes::width];
      backend::store(narrow, x);
      x = backend::load(narrow);
    }
    backend::store(reinterpret_cast<float*>(p), x);
  }
  static void store_rows(uint32_t* p, int64_t stride, V a, V b) {
    store_units(p, a);
    store_units(p + stride, b);
  }
  static void store_pairs(uint32_t* p, int64_t stride, V a, V b) { store_rows(p, stride, a, b); }
};

}  // namespace

const Loops f32_avx2{forward<Avx2<false>>, backward<Avx2<false>>};
const Loops rounded_avx2{forward<Avx2<true>>, backward<Avx2<true>>};

}  // namespace ringmaster::backend::flash
