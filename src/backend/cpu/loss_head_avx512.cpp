// SPDX-License-Identifier: Apache-2.0
// loss_head_avx512: the loops of loss_head_tiles.h by the dot products of AVX512-BF16. Built with those options, run where CPUID has
// them; calls nothing that other object files share (register_products.h).
#include "backend/cpu/avx512.h"
#include "backend/cpu/loss_head_tiles.h"

namespace ringmaster::backend::loss_head {
namespace {

using A = avx512::Bf16;
using V = A::V;
using Sums = V[A::mr][A::nr];

static_assert(A::mr == group && A::nr * 16 == lanes);

V exp(V x) { return avx512::Avx512::exp2(x * A::set(log2_e)); }

// Brings a tile of [8][32] floats near while others are computed.
void prefetch(const float* at, int64_t stride) {
  for (int64_t i = 0; i < group; ++i) {
    _mm_prefetch(at + i * stride, _MM_HINT_T0);
    _mm_prefetch(at + i * stride + 16, _MM_HINT_T0);
  }
}

// x W^T of one strip into e
void logits(const Tile& t, const Operands& w, const uint32_t* strip, float* e) {
  const int64_t units = t.channel_pairs();
  for (int64_t v = 0; v < t.padded_classes(); v += group) {
    const bool whole = v + group <= t.classes;
    const auto* a = whole ? reinterpret_cast<const uint32_t*>(w.weight + v * t.width) : w.last;
    Sums sum;
    clear<A, A::nr>(sum);
    product<A, A::nr>(units, a, units, 1, strip, lanes, sum);
    store_tile<A, A::nr>(e + v * lanes, lanes, sum);
  }
}

// 16 lanes of a strip
void exponentials_of(const Tile& t, const Rows& rows, int64_t at, float* e) {
  V shift;
  if (rows.lse != nullptr) {
    shift = A::load(rows.lse + at);
  } else {
    shift = A::load(e);
    for (int64_t v = 1; v < t.classes; ++v) shift = A::max(A::load(e + v * lanes), shift);
    A::store(rows.top + at, shift);
  }
  V total = A::set(0.0F);
  for (int64_t v = 0; v < t.classes; ++v) {
    const V y = exp(A::load(e + v * lanes) - shift);
    total = total + y;
    A::store(e + v * lanes, y);
  }
  for (int64_t v = t.classes; v < t.padded_classes(); ++v) A::store(e + v * lanes, A::set(0.0F));
  if (rows.total != nullptr) A::store(rows.total + at, total);
}

void copy_last(const Tile& t, const Operands& w) {
  const int64_t first = t.classes / group * group, units = t.channel_pairs();
  for (int64_t v = first; v < t.padded_classes(); ++v)
    for (int64_t u = 0; u < units; ++u)
      w.last[(v - first) * units + u] =
          v < t.classes ? reinterpret_cast<const uint32_t*>(w.weight + v * t.width)[u] : 0U;
}

void exponentials(const Tile& t, const Operands& w, const uint32_t* strips, const Rows& rows, float* e) {
  copy_last(t, w);
  for (int64_t s = 0; s < t.strips(); ++s) {
    float* strip = e + s * t.padded_classes() * lanes;
    logits(t, w, strips + s * t.channel_pairs() * lanes, strip);
    for (int64_t r = s * lanes; rows.at != nullptr && r < t.rows && r < (s + 1) * lanes; ++r)
      if (rows.targets[r] >= 0 && rows.targets[r] < t.classes) rows.at[r] = strip[rows.targets[r] * lanes + r % lanes];
    for (int64_t half = 0; half < lanes; half += 16) exponentials_of(t, rows, s * lanes + half, strip + half);
  }
}

uint16_t narrow(float x) {
  return static_cast<uint16_t>(
      _mm256_extract_epi16(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_set1_ps(x))), 0));
}

void slopes(const Tile& t, const float* e, const float* factor, const float* at_target, const int32_t* targets,
            uint32_t* d_rows, uint32_t* d_strips) {
  const int64_t pairs = t.row_pairs(), to_next = t.class_pairs() * group;  // from 8 rows to the next 8
  for (int64_t s = 0; s < t.strips(); ++s, e += t.padded_classes() * lanes) {
    const V low = A::load(factor + s * lanes), high = A::load(factor + s * lanes + 16);
    for (int64_t v = 0; v < t.padded_classes(); v += 2) {
      const float* x = e + v * lanes;
      const V a = A::load(x) * low, b = A::load(x + 16) * high, c = A::load(x + 32) * low, d = A::load(x + 48) * high;
      uint32_t* row = d_rows + v * pairs + s * lanes / 2;
      _mm512_storeu_si512(row, A::narrow(a, b));
      _mm512_storeu_si512(row + pairs, A::narrow(c, d));
      uint32_t* to = d_strips + 4 * s * to_next + v / 2 * group;
      A::store_halves(to, to_next, a, c);
      A::store_halves(to + 2 * to_next, to_next, b, d);
    }
  }
  for (int64_t r = 0; r < t.rows; ++r) {
    const int32_t v = targets[r];
    if (v < 0 || v >= t.classes) continue;
    const uint16_t d = narrow(at_target[r]);
    reinterpret_cast<uint16_t*>(d_rows)[v * pairs * 2 + r] = d;
    reinterpret_cast<uint16_t*>(d_strips + r / group * to_next + v / 2 * group + r % group)[v % 2] = d;
  }
}

// Columns of a panel that exist, for either register of a tile.
struct Columns {
  __mmask16 mask[2];
  explicit Columns(int64_t n)
      : mask{static_cast<__mmask16>(n >= 16 ? 0xffff : (1 << n) - 1),
             static_cast<__mmask16>(n >= 32   ? 0xffff
                                    : n <= 16 ? 0
                                              : (1 << (n - 16)) - 1)} {}
};

void dweight(const Tile& t, const uint32_t* d_rows, const uint32_t* pairs, bool add, float* to) {
  const int64_t units = t.row_pairs();
  for (int64_t p = 0; p < t.panels(); ++p) {
    const Columns columns(t.width - p * lanes);
    for (int64_t v = 0; v < t.padded_classes(); v += group) {
      float* c = to + v * t.width + p * lanes;
      const int64_t n = t.classes - v < group ? t.classes - v : group;
      prefetch(v + group < t.classes ? c + group * t.width : to + (p + 1) * lanes, t.width);
      Sums sum;
      clear<A, A::nr>(sum);
      if (add) {
#pragma GCC unroll 8
        for (int i = 0; i < A::mr; ++i)
#pragma GCC unroll 2
          for (int j = 0; j < A::nr; ++j)
            if (i < n) sum[i][j].v = _mm512_maskz_loadu_ps(columns.mask[j], c + i * t.width + 16 * j);
      }
      product<A, A::nr>(units, d_rows + v * units, units, 1, pairs + p * units * lanes, lanes, sum);
#pragma GCC unroll 8
      for (int i = 0; i < A::mr; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < A::nr; ++j)
          if (i < n) _mm512_mask_storeu_ps(c + i * t.width + 16 * j, columns.mask[j], sum[i][j].v);
    }
  }
}

void pack_pairs(const uint16_t* from, int64_t n, int64_t padded, int64_t width, uint32_t* to) {
  for (int64_t row = 0; row < padded; row += 2) {
    const uint16_t* a = from + row * width;
    for (int64_t c = 0; c < width; c += lanes) {
      const __mmask32 mask = width - c >= lanes ? ~0U : (1U << (width - c)) - 1U;
      const __m512i x = _mm512_maskz_loadu_epi16(row < n ? mask : 0, a + c);
      const __m512i y = _mm512_maskz_loadu_epi16(row + 1 < n ? mask : 0, a + width + c);
      uint32_t* pair = to + c * padded / 2 + row / 2 * lanes;
      _mm512_storeu_si512(pair, A::interleave(x, y, 0));
      _mm512_storeu_si512(pair + 16, A::interleave(x, y, 16));
    }
  }
}

void dx(const Tile& t, const Operands& w, const uint32_t* d_strips, bool add, uint32_t* w_pairs, float* to) {
  pack_pairs(w.weight, t.classes, t.padded_classes(), t.width, w_pairs);
  const int64_t units = t.class_pairs(), stride = t.padded_width();
  for (int64_t p = 0; p < t.panels(); ++p)
    for (int64_t r = 0; r < t.padded_rows(); r += group) {
      float* c = to + r * stride + p * lanes;
      prefetch(r + group < t.padded_rows() ? c + group * stride : to + (p + 1) * lanes, stride);
      Sums sum;
      if (add)
        load_tile<A, A::nr>(c, stride, sum);
      else
        clear<A, A::nr>(sum);
      product<A, A::nr>(units, d_strips + r * units, 1, group, w_pairs + p * units * lanes, lanes, sum);
      store_tile<A, A::nr>(c, stride, sum);
    }
}

}  // namespace

const Loops avx512_bf16{pack_pairs, exponentials, slopes, dweight, dx};

}  // namespace ringmaster::backend::loss_head
