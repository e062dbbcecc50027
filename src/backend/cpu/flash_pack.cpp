// SPDX-License-Identifier: Apache-2.0
// flash_pack: heads out of strided tensors into the operands of flash_kernel.h, and results back, rounded once.
#include <algorithm>
#include <cstring>
#include <limits>

#include "backend/cpu/flash_kernel.h"
#include "backend/cpu/lanes.h"
#include "core/with_float.h"

namespace ringmaster::backend::flash {
namespace {

float widened(float x) { return x; }
template <typename T> float widened(T x) { return to_float(x); }

const char* row_of(const Source& from, int64_t row) {
  return static_cast<const char*>(from.data) + row * from.stride * size_of(from.dtype);
}

void zero(uint32_t* to, int64_t units) { std::memset(to, 0, static_cast<size_t>(units) * 4); }

// n elements widened
void widen_row(const char* from, DType dtype, float* to, int64_t n) {
  with_float(dtype, [&]<typename T>(T) { copy_lanes(reinterpret_cast<const T*>(from), to, n); });
}

// to[c][r] = from[r][c] of 8 x 8 units
void transpose_8x8(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  __m256 r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + i * from_stride);
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xEE);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

// to[c][r] = from[r][c] of units; rows a multiple of 8
void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to, int64_t to_stride) {
  const int64_t whole = columns / 8 * 8;
  for (int64_t r = 0; r < rows; r += 8) {
    for (int64_t c = 0; c < whole; c += 8)
      transpose_8x8(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    for (int64_t c = whole; c < columns; ++c)
      for (int64_t i = r; i < r + 8; ++i) std::memcpy(to + c * to_stride + i, from + i * from_stride + c, 4);
  }
}

// 16 columns of two rows of bf16, interleaved
void interleave(__m256i a, __m256i b, uint32_t* to) {
  const __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), _mm256_permute2x128_si256(low, high, 0x31));
}

// Two rows, the second one null where there is none.
void interleave_rows(const char* a, const char* b, int64_t dim, uint32_t* to) {
  const auto part = [&](const char* row, int64_t at, int64_t n) {
    if (row != nullptr && n == 16) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + at * 2));
    alignas(32) char buffer[32] = {};
    if (row != nullptr) std::memcpy(buffer, row + at * 2, static_cast<size_t>(n) * 2);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(buffer));
  };
  for_lanes(dim, [&](int64_t at, int64_t n) { interleave(part(a, at, n), part(b, at, n), to + at); });
}

// sum of a_i b_i, 16 lanes
float dot_product(const void* a, const void* b, DType dtype, int64_t n) {
  Lanes total(0.0F);
  with_float(dtype, [&]<typename T>(T) {
    const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
    for_lanes(n, [&](int64_t i, int64_t count) { total = fma(load(x + i, count), load(y + i, count), total); });
  });
  return sum(total);
}

}  // namespace

Source source(const Layout& l, const void* data, int64_t stride, int64_t first_row) {
  return {static_cast<const char*>(data) + first_row * stride * size_of(l.dtype), stride, l.dim, l.dtype, l.pair};
}
Target target(const Layout& l, void* data, int64_t stride, int64_t first_row) {
  return {static_cast<char*>(data) + first_row * stride * size_of(l.dtype), stride, l.dim, l.dtype};
}

void pack_rows(const Source& from, int64_t count, int64_t padded, uint32_t* to) {
  const int64_t units = (from.dim + from.pair - 1) / from.pair;
  for (int64_t r = 0; r < count; ++r) {
    uint32_t* row = to + r * units;
    if (from.pair == 1) {
      widen_row(row_of(from, r), from.dtype, reinterpret_cast<float*>(row), from.dim);
    } else {
      row[units - 1] = 0;
      std::memcpy(row, row_of(from, r), static_cast<size_t>(from.dim) * 2);
    }
  }
  zero(to + count * units, (padded - count) * units);
}

void pack_pairs(const Source& from, int64_t count, int64_t padded, uint32_t* to) {
  const int64_t lanes = up(from.dim, 16), units = (count + from.pair - 1) / from.pair;
  for (int64_t u = 0; u < units; ++u) {
    uint32_t* row = to + u * lanes;
    if (from.pair == 2) {
      const bool whole = 2 * u + 1 < count;
      interleave_rows(row_of(from, 2 * u), whole ? row_of(from, 2 * u + 1) : nullptr, from.dim, row);
    } else {
      widen_row(row_of(from, u), from.dtype, reinterpret_cast<float*>(row), from.dim);
      zero(row + from.dim, lanes - from.dim);
    }
  }
  zero(to + units * lanes, (padded / from.pair - units) * lanes);
}

void pack_strip(const Source& from, int64_t count, uint32_t* to, uint32_t* staging) {
  const int64_t units = (from.dim + from.pair - 1) / from.pair;
  const bool direct = count == strip && from.dim % from.pair == 0 && size_of(from.dtype) * from.pair == 4 &&
                      from.stride % from.pair == 0;
  if (!direct) pack_rows(from, count, strip, staging);
  transpose(direct ? static_cast<const float*>(from.data) : reinterpret_cast<const float*>(staging),
            direct ? from.stride / from.pair : units, strip, units, reinterpret_cast<float*>(to), strip);
}

void write_rows(const float* rows, int64_t lanes, float factor, int64_t count, const Target& to) {
  with_float(to.dtype, [&]<typename T>(T) {
    for (int64_t r = 0; r < count; ++r) {
      T* out = static_cast<T*>(to.data) + r * to.stride;
      const float* row = rows + r * lanes;
      for_lanes(to.dim, [&](int64_t i, int64_t n) { store(out + i, load(row + i, n) * Lanes(factor), n); });
    }
  });
}

void write_columns(const float* columns, float factor, int64_t count, const Target& to, float* staging) {
  const int64_t lanes = up(to.dim, 16), rows = up(to.dim, group);
  transpose(columns, strip, rows, strip, staging, lanes);
  write_rows(staging, lanes, factor, count, to);
}

void write_zeros(int64_t count, const Target& to) {
  const auto bytes = static_cast<size_t>(to.dim * size_of(to.dtype));
  for (int64_t r = 0; r < count; ++r)
    std::memset(static_cast<char*>(to.data) + r * to.stride * size_of(to.dtype), 0, bytes);
}

void pack_queries(const Layout& l, const Head& h, const HeadGrad& g, const BackwardScratch& s) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const Source q = source(l, h.q, l.q_stride, 0), dy = source(l, g.dy, l.y_stride, 0),
               y = source(l, h.y, l.y_stride, 0);
  pack_pairs(q, l.q_len, l.strips() * strip, s.q_pairs);
  pack_pairs(dy, l.q_len, l.strips() * strip, s.dy_pairs);
  for (int64_t i = 0; i < l.strips(); ++i) {
    const int64_t query = i * strip, count = l.q_len - query < strip ? l.q_len - query : strip;
    pack_strip(source(l, h.q, l.q_stride, query), count, s.q + i * l.units() * strip, s.staging);
    pack_strip(source(l, g.dy, l.y_stride, query), count, s.dy + i * l.units() * strip, s.staging);
  }
  for (int64_t i = 0; i < l.strips() * strip; ++i) {
    const bool real = i < l.q_len;
    s.lse[i] = real ? h.lse[i] : infinity;  // exp(score - infinity) is 0
    s.dot[i] = real ? dot_product(row_of(dy, i), row_of(y, i), l.dtype, l.dim) : 0.0F;
    if (real && g.d_lse != nullptr)
      with_float(g.d_lse_dtype, [&]<typename T>(T) { s.dot[i] -= widened(static_cast<const T*>(g.d_lse)[i]); });
  }
  for (int64_t i = 0; i < l.strips() * l.rows() * strip; ++i) s.dq[i] = 0.0F;
}

}  // namespace ringmaster::backend::flash
