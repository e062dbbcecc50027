// SPDX-License-Identifier: Apache-2.0
// flash_kernel: what the parts of flash attention share. Private to flash*.cpp; the idea stands in flash.h.
// An operand of a product is packed in 4-byte units: one f32, or a pair of bf16 that are neighbours along the summed dim.
//   rows     [row][units of dim]              the summed dim is dim; one unit is broadcast
//   strip    [units of dim][32 rows]          the same, transposed: 16 rows are one register
//   pairs    [units of rows][lanes of dim]    the summed dim is rows
// Scores are computed transposed, [key][32 queries]: a lane is a query, so maximum and sum need no step across lanes.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace ringmaster::backend::flash {

inline constexpr int64_t strip = 32;  // queries at once
inline constexpr int64_t group = 8;   // keys at once, and the step of every other unvectorised dim

inline constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

struct Layout {
  int64_t q_len, k_len, dim;
  int64_t q_tile, k_tile;                          // multiples of strip and group
  int64_t q_stride, k_stride, v_stride, y_stride;  // elements from token to token
  DType dtype;
  int64_t pair;  // elements in a unit
  bool causal;
  float scale;

  int64_t units() const { return (dim + pair - 1) / pair; }
  int64_t rows() const { return up(dim, group); }
  int64_t lanes() const { return up(dim, 16); }
  int64_t p_stride() const { return q_tile / pair; }
  int64_t strips() const { return up(q_len, strip) / strip; }
};

// One head of one sequence; keys behind the first `keys` are padding.
struct Head {
  const void *q, *k, *v;
  int64_t keys;
  void* y;
  float* lse;
};
struct HeadGrad {
  const void *dy, *d_lse;  // d_lse may be null
  DType d_lse_dtype;
  void *dq, *dk, *dv;
};

// Cuts a scratch into aligned pieces; without a base it only counts.
class Pieces {
 public:
  explicit Pieces(char* base) : base_(base) {}
  template <typename T> T* take(int64_t n) {
    char* p = base_ == nullptr ? nullptr : base_ + used_;
    used_ += up(n * static_cast<int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(p);
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

struct ForwardScratch {
  ForwardScratch(const Layout& l, char* base);
  Pieces pieces;
  uint32_t *q, *k, *v, *p;  // strips of q; rows of k; pairs of v; pairs of the weights
  float *scores, *y;        // [key][32]; [strip][dim][32]
  float *top, *total;       // of each query: largest score so far, sum of exp(score - top)
  uint32_t* staging;
};

struct BackwardScratch {
  BackwardScratch(const Layout& l, char* base);
  Pieces pieces;
  float *lse, *dot, *dq;                  // [query]; [query] rowsum(dy y) - d_lse; [strip][dim][32]
  uint32_t *q, *dy, *q_pairs, *dy_pairs;  // of all queries: [strip][units][32]; pairs
  uint32_t *k, *v, *k_pairs;              // of one block of keys
  float *dk, *dv;                         // [key][lanes of dim]
  uint32_t *p, *ds;                       // [key][units of q_tile]
  uint32_t *ds_pairs, *staging;
};

// The instruction sets; one object file each.
struct Loops {
  // queries q_begin .. of one tile
  void (*forward)(const Layout& l, const Head& h, int64_t q_begin, char* scratch);
  void (*backward)(const Layout& l, const Head& h, const HeadGrad& g, char* scratch);
};
extern const Loops f32_avx2, f32_avx512, bf16_avx512;
extern const Loops rounded_avx2;  // bf16 data by f32 arithmetic: weights and ds rounded to bf16 as bf16_avx512 does

// ---- packing (flash_pack.cpp, on every ISA the same code)
struct Source {
  const void* data;
  int64_t stride, dim;  // elements
  DType dtype;
  int64_t pair;
};
Source source(const Layout& l, const void* data, int64_t stride, int64_t first_row);
// `count` rows, then zeros up to `padded` rows
void pack_rows(const Source& from, int64_t count, int64_t padded, uint32_t* to);
void pack_pairs(const Source& from, int64_t count, int64_t padded, uint32_t* to);
void pack_strip(const Source& from, int64_t count, uint32_t* to, uint32_t* staging);

struct Target {
  void* data;
  int64_t stride, dim;
  DType dtype;
};
Target target(const Layout& l, void* data, int64_t stride, int64_t first_row);
// factor * rows [count][lanes of dim], rounded once
void write_rows(const float* rows, int64_t lanes, float factor, int64_t count, const Target& to);
// factor * columns [dim][32], transposed; staging [32][lanes of dim]
void write_columns(const float* columns, float factor, int64_t count, const Target& to, float* staging);
void write_zeros(int64_t count, const Target& to);
// what all blocks of keys need of the queries; dq is 0
void pack_queries(const Layout& l, const Head& h, const HeadGrad& g, const BackwardScratch& s);

}  // namespace ringmaster::backend::flash
