// SPDX-License-Identifier: Apache-2.0
// loss_head_tiles: what the bf16 loss head does to one tile of logits, in AVX512-BF16. Private to loss_head_bf16.cpp. A tile is up to
// 256 rows of x times some classes (rows of W), kept transposed: a lane is a row of x, so maximum and sum need no step across lanes.
// Operands of products are pairs of bf16 that are neighbours along the summed dim (register_products.h):
//   strips    x     [strip of 32 rows][pair of channels][32]        pairs     x  [panel of 32 channels][pair of rows][32]
//   d_rows    d     [class][pair of rows]                           d_strips  d  [strip of 8 rows][pair of classes][8]
//   w_pairs   W     [panel of 32 channels][pair of classes][32]
// Rows, channels and classes that do not exist are zeros.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace ringmaster::backend::loss_head {

inline constexpr int64_t lanes = 32;  // rows of x, or channels, at once
inline constexpr int64_t group = 8;   // classes at once

struct Tile {
  int64_t rows, classes, width;

  static constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
  int64_t padded_rows() const { return up(rows, lanes); }
  int64_t padded_classes() const { return up(classes, group); }
  int64_t padded_width() const { return up(width, lanes); }
  int64_t strips() const { return padded_rows() / lanes; }
  int64_t panels() const { return padded_width() / lanes; }
  int64_t row_pairs() const { return padded_rows() / 2; }
  int64_t class_pairs() const { return padded_classes() / 2; }
  int64_t channel_pairs() const { return width / 2; }
  int64_t logits() const { return padded_rows() * padded_classes(); }
};

// Per row of x [padded_rows]: lse is the log of its sum of exponentials, for a tile whose rows are known; else top and total of
// this tile and the target's logit are found.
struct Rows {
  const int32_t* targets;      // of rows; less the tile's first class
  const float* lse = nullptr;  // in
  float *top = nullptr, *total = nullptr, *at = nullptr;
};

struct Operands {
  const uint16_t* weight;  // [classes][width]
  uint32_t* last;          // [8][width / 2]: room for the classes behind the last whole group
};

struct Loops {
  // rows of bf16 [n][width], and zeros up to an even `padded`, to [panel of 32 channels][pair of rows][32]
  void (*pack_pairs)(const uint16_t* from, int64_t n, int64_t padded, int64_t width, uint32_t* to);
  // e = exp(x W^T - shift) [strip][class][32], shift = lse or top
  void (*exponentials)(const Tile& t, const Operands& w, const uint32_t* strips, const Rows& rows, float* e);
  // d = e factor; d of a row's target = at_target
  void (*slopes)(const Tile& t, const float* e, const float* factor, const float* at_target, const int32_t* targets,
                 uint32_t* d_rows, uint32_t* d_strips);
  // dweight [classes][width] = or += d^T x
  void (*dweight)(const Tile& t, const uint32_t* d_rows, const uint32_t* pairs, bool add, float* to);
  // dx [padded_rows][padded_width] = or += d W
  void (*dx)(const Tile& t, const Operands& w, const uint32_t* d_strips, bool add, uint32_t* w_pairs, float* to);
};
extern const Loops avx512_bf16;

}  // namespace ringmaster::backend::loss_head
