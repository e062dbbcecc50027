// SPDX-License-Identifier: Apache-2.0
// grid: gradients as integers. x is rounded once, to nearest even, to q = rint(x multiplier), and from there on only integers are
// added: whoever adds them, in whatever order, gets the same bits (docs/decisions/numerics.md). Nothing is clamped: what does not
// fit 31 bits is seen by the largest |x|, which everything here keeps.
#pragma once
#include <immintrin.h>

#include <atomic>
#include <bit>
#include <cstdint>

#include "backend/cpu/lanes.h"

namespace ringmaster::backend {

// The largest magnitude so far, as the bits of a float without its sign: as integers those of NaN lie above those of infinity,
// and these above all numbers, so what is not finite is never lost.
class Peak {
 public:
  void raise(uint32_t bits) {
    uint32_t seen = bits_.load(std::memory_order_relaxed);
    while (seen < bits && !bits_.compare_exchange_weak(seen, bits, std::memory_order_relaxed)) {}
  }
  float value() const { return std::bit_cast<float>(bits_.load(std::memory_order_relaxed)); }

 private:
  std::atomic<uint32_t> bits_ = 0;
};

// Rounds lanes, and sees their magnitudes.
class Rounding {
 public:
  explicit Rounding(float multiplier) : multiplier_(_mm256_set1_ps(multiplier)) {}

  // q = rint(x multiplier), or q += it, of the first n lanes; those behind are 0
  void fold(Lanes x, int32_t* q, int64_t n, bool add) {
    const __m256i lo = round(x.lo), hi = round(x.hi);
    if (n == Lanes::width) {
      store(q, add ? _mm256_add_epi32(load(q), lo) : lo);
      store(q + 8, add ? _mm256_add_epi32(load(q + 8), hi) : hi);
      return;
    }
    const auto some = [&](int32_t* to, __m256i part, __m256i mask) {
      _mm256_maskstore_epi32(to, mask, add ? _mm256_add_epi32(_mm256_maskload_epi32(to, mask), part) : part);
    };
    some(q, lo, below(n, 0));
    some(q + 8, hi, below(n, 8));
  }

  uint32_t peak() const {
    const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(peak_), _mm256_extracti128_si256(peak_, 1));
    const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1))));
  }

 private:
  static __m256i load(const int32_t* q) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)); }
  static void store(int32_t* q, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), x); }
  __m256i round(__m256 x) {
    peak_ = _mm256_max_epu32(peak_, _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff)));
    return _mm256_cvtps_epi32(_mm256_mul_ps(x, multiplier_));
  }

  __m256 multiplier_;
  __m256i peak_ = _mm256_setzero_si256();
};

// Where a finished piece of a gradient goes: stored, or added to what other grains left; as it is, or on a grid.
struct Fold {
  bool add = false;
  Peak* peak = nullptr;     // on a grid: sees all magnitudes
  float multiplier = 0.0F;  // of the grid

  // Can the piece not be made where it goes?
  bool apart() const { return add || peak != nullptr; }
  // `to` holds f32, or i32 on a grid; `from` may be `to` where nothing is added.
  void operator()(const float* from, void* to, int64_t n) const {
    if (peak == nullptr) {
      auto* sum = static_cast<float*>(to);
      for_lanes(n, [&](int64_t i, int64_t count) {
        const Lanes x = load(from + i, count);
        store(sum + i, add ? load(sum + i, count) + x : x, count);
      });
      return;
    }
    Rounding rounding(multiplier);
    for_lanes(n, [&](int64_t i, int64_t count) {
      rounding.fold(load(from + i, count), static_cast<int32_t*>(to) + i, count, add);
    });
    peak->raise(rounding.peak());
  }
};

// What integers of a grid are multiplied by to be gradients again: exact, as a multiplier is a power of 2. Of a phase that has no
// grids yet, where it is 0, all integers are 0.
inline float inverse_of(float multiplier) { return multiplier == 0.0F ? 0.0F : 1.0F / multiplier; }

// x = q inverse, rounded once where q has more than 24 bits.
inline void from_grid(const int32_t* q, float* x, int64_t n, float inverse) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(q[i]) * inverse;
}

}  // namespace ringmaster::backend
