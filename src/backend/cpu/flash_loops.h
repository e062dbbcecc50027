// SPDX-License-Identifier: Apache-2.0
// flash_loops: the forward loops over an arithmetic A (register_products.h), which one object file for an instruction set names
// (flash_avx2.cpp, flash_avx512.cpp). Functions with a product are not inlined into each other: each wants all registers for itself.
#pragma once
#include <cmath>
#include <limits>

#include "backend/cpu/flash_kernel.h"
#include "backend/cpu/register_products.h"

namespace ringmaster::backend::flash {

inline constexpr float nothing = -std::numeric_limits<float>::infinity();

// Which keys the queries of a strip see: lane i those below `limit` + i * step.
template <typename A> struct Sight {
  typename A::V limits[2];
  int64_t all, any;  // keys below `all` are seen by every lane, keys from `any` on by none

  Sight(const Layout& l, int64_t keys, int64_t first_query) {
    any = l.causal && first_query + strip < keys ? first_query + strip : keys;
    all = l.causal && first_query + 1 < keys ? first_query + 1 : keys;
    alignas(64) float limit[strip];
    for (int64_t i = 0; i < strip; ++i) {
      const int64_t last = l.causal && first_query + i + 1 < keys ? first_query + i + 1 : keys;
      limit[i] = static_cast<float>(last);  // exact to 2^24
    }
    limits[0] = A::load(limit);
    limits[1] = A::load(limit + 16);
  }
};

// Scores of `n` keys from k0 on: s.scores [n][32], -infinity where unseen. Raises top[2] to their largest.
template <typename A>
[[gnu::noinline]] void score(const Layout& l, const ForwardScratch& s, const uint32_t* q, const Sight<A>& sight,
                             int64_t k0, int64_t n, typename A::V (&top)[2]) {
  const int64_t units = l.units();
  for (int64_t i = 0; i < n; i += A::mr) {
    const bool masked = k0 + i + A::mr > sight.all;
#pragma GCC unroll 2
    for (int c = 0; c < 2; c += A::nr) {
      Tile<A> sum;
      clear<A, A::nr>(sum);
      product<A, A::nr>(units, s.k + i * units, units, 1, q + 16 * c, strip, sum);
#pragma GCC unroll 8
      for (int r = 0; r < A::mr; ++r)
#pragma GCC unroll 2
        for (int j = 0; j < A::nr; ++j) {
          if (masked) sum[r][j] = A::seen(static_cast<float>(k0 + i + r), sight.limits[c + j], sum[r][j]);
          top[c + j] = A::max(sum[r][j], top[c + j]);
        }
      store_tile<A, A::nr>(s.scores + i * strip + 16 * c, strip, sum);
    }
  }
}

// weights p = exp(score - top) of one half of a strip into s.p; their sum
template <typename A>
[[gnu::noinline]] typename A::V weigh(const ForwardScratch& s, int64_t half, int64_t n, typename A::V shift,
                                      typename A::V factor) {
  typename A::V total = A::set(0.0F);
  for (int64_t i = 0; i < n; i += 2) {
    const float* at = s.scores + i * strip + 16 * half;
    const typename A::V a = A::exp2((A::load(at) - shift) * factor);
    const typename A::V b = A::exp2((A::load(at + strip) - shift) * factor);
    total = total + a;
    total = total + b;
    A::store_pairs(s.p + i / A::pair * strip + 16 * half, strip, a, b);
  }
  return total;
}

// One strip of queries against one block of keys, which lies packed in s.k and s.v.
template <typename A>
[[gnu::noinline]] void forward_strip(const Layout& l, const ForwardScratch& s, int64_t index, const Sight<A>& sight,
                                     int64_t k0, int64_t n) {
  using V = typename A::V;
  float *tops = s.top + index * strip, *totals = s.total + index * strip;
  const V factor = A::set(l.scale * log2_e);
  V top[2], rescale[2];
  for (int j = 0; j < 2; ++j) top[j] = A::load(tops + 16 * j);
  score<A>(l, s, s.q + index * l.units() * strip, sight, k0, n, top);
  for (int j = 0; j < 2; ++j) {
    rescale[j] = A::exp2((A::load(tops + 16 * j) - top[j]) * factor);
    const V total = weigh<A>(s, j, n, top[j], factor);
    A::store(totals + 16 * j, A::fma(A::load(totals + 16 * j), rescale[j], total));
    A::store(tops + 16 * j, top[j]);
  }
  float* y = s.y + index * l.rows() * strip;
  for (int64_t d = 0; d < l.rows(); d += A::mr)
#pragma GCC unroll 2
    for (int c = 0; c < 2; c += A::nr) {
      Tile<A> sum;
      load_tile<A, A::nr>(y + d * strip + 16 * c, strip, sum);
#pragma GCC unroll 8
      for (int r = 0; r < A::mr; ++r)
#pragma GCC unroll 2
        for (int j = 0; j < A::nr; ++j) sum[r][j] = sum[r][j] * rescale[c + j];
      product<A, A::nr>(n / A::pair, s.v + d, 1, l.lanes(), s.p + 16 * c, strip, sum);
      store_tile<A, A::nr>(y + d * strip + 16 * c, strip, sum);
    }
}

}  // namespace ringmaster::backend::flash
