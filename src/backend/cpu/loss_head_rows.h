// SPDX-License-Identifier: Apache-2.0
// loss_head_rows: what loss_head does to tiles of logits between its products. Private to the implementations (loss_head_impl.h). A tile is dense,
// [rows][its columns]; only differences of logits enter, as in the op cross_entropy.
#pragma once
#include <cstdint>

#include "backend/cpu/grid.h"
#include "core/dtype.h"

namespace ringmaster::backend {

// All tiles of some rows. A row is finished in three steps, so that each logit is exponentiated once:
//   exponentials   e = exp(x - top of the tile); top, total = sum e, and x[target] are kept
//   losses         loss = log(sum over tiles of total exp(top - greatest top)) - (x[target] - greatest top)
//   gradients      dx = e * factor of (row, tile), where factor = exp(top - x[target] - loss) d_loss
struct RowsOfTiles {
  int64_t rows, columns, tile;  // columns: of all tiles
  const int32_t* targets;
  float *at, *top, *total;  // [rows] x[target]; [rows][tiles], of which `factors` overwrites top

  int64_t tiles() const { return (columns + tile - 1) / tile; }
  void exponentials(int64_t j, float* x) const;  // in place
  void losses(float* loss) const;
  void factors(const float* loss, const float* d_loss) const;
  void gradients(int64_t j, const float* e, const float* loss, const float* d_loss, void* dx, DType dtype) const;
};

// One tile of rows whose loss is known.
struct SliceOfRows {
  int64_t rows, first, columns;  // classes first .. first + columns
  void gradients(const float* x, const int32_t* targets, const float* at, const float* loss, const float* d_loss,
                 void* dx, DType dtype) const;
};

// at_N = sum_C x_NC W[target_N, C]
void target_logits(const void* x, const void* weight, const int32_t* targets, DType dtype, int64_t rows, int64_t width,
                   float* at, int threads);

// out[i] = sum over g of partials[g * stride + i], in the order of g, rounded once
void add_partials(const float* partials, int64_t stride, int64_t count, int64_t n, DType dtype, void* out, int threads);
// The same sum goes to `out` as `fold` says; unless that is apart the partial 0 lies in `out`.
void finish_slice(float* out, const float* partials, int64_t stride, int64_t count, int64_t n, const Fold& fold,
                  int threads);

}  // namespace ringmaster::backend
