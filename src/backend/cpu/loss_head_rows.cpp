// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/loss_head_rows.h"

#include "backend/cpu/parallel.h"
#include "backend/cpu/vector_math.h"
#include "core/with_float.h"

#include <cmath>
#include <limits>

namespace ringmaster::backend {
namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();
constexpr int64_t piece = 8192;  // elements that a thread takes at once

// p - 1 at the target as an exact difference, not p d_loss - d_loss
template <typename T> void store_target(T* dx, float loss, float d_loss) {
  store_tail(dx, (exp(Lanes(-loss)) - Lanes(1.0F)) * Lanes(d_loss), 1);
}

// whether a tile holds a row's target
bool holds(int64_t first, int64_t columns, int32_t target) { return target >= first && target < first + columns; }

template <typename Body> void for_pieces(int64_t n, int threads, const Body& body) {
  parallel_for(n < 4 * piece ? 1 : threads, (n + piece - 1) / piece, [&](int64_t task) {
    const int64_t begin = task * piece;
    for_lanes(std::min(piece, n - begin), [&](int64_t i, int64_t count) { body(begin + i, count); });
  });
}

}  // namespace

void RowsOfTiles::exponentials(int64_t j, float* x) const {
  const int64_t first = j * tile, n = std::min(tile, columns - first);
  for (int64_t r = 0; r < rows; ++r, x += n) {
    if (holds(first, n, targets[r])) at[r] = x[targets[r] - first];
    Lanes tops(lowest), sums(0.0F);
    for_lanes(n, [&](int64_t i, int64_t count) { tops = max(load(x + i, count, lowest), tops); });
    const float highest = max_of(tops);
    for_lanes(n, [&](int64_t i, int64_t count) {
      const Lanes e = exp(load(x + i, count, lowest) - Lanes(highest));
      store(x + i, e, count);
      sums = sums + e;
    });
    top[r * tiles() + j] = highest;
    total[r * tiles() + j] = sum(sums);
  }
}

void RowsOfTiles::losses(float* loss) const {
  const int64_t n = tiles();
  for (int64_t r = 0; r < rows; ++r) {
    const float *row_top = top + r * n, *row_total = total + r * n;
    Lanes tops(lowest), sums(0.0F);
    for_lanes(n, [&](int64_t i, int64_t count) { tops = max(load(row_top + i, count, lowest), tops); });
    const Lanes highest(max_of(tops));
    for_lanes(n, [&](int64_t i, int64_t count) {
      sums = fma(load(row_total + i, count), exp(load(row_top + i, count, lowest) - highest), sums);
    });
    loss[r] = std::log(sum(sums)) - (at[r] - max_of(tops));
  }
}

void RowsOfTiles::factors(const float* loss, const float* d_loss) const {
  const int64_t n = tiles();
  for (int64_t r = 0; r < rows; ++r) {
    float* row = top + r * n;
    for_lanes(n, [&](int64_t i, int64_t count) {
      store(row + i, exp(load(row + i, count) - Lanes(at[r]) - Lanes(loss[r])) * Lanes(d_loss[r]), count);
    });
  }
}

void RowsOfTiles::gradients(int64_t j, const float* e, const float* loss, const float* d_loss, void* dx,
                            DType dtype) const {
  const int64_t first = j * tile, n = std::min(tile, columns - first);
  with_float(dtype, [&]<typename T>(T) {
    T* out = static_cast<T*>(dx);
    for (int64_t r = 0; r < rows; ++r, out += n) {
      const Lanes factor(top[r * tiles() + j]);
      const float* row = e + r * n;
      for_lanes(n, [&](int64_t i, int64_t count) { store(out + i, load(row + i, count) * factor, count); });
      if (holds(first, n, targets[r])) store_target(out + targets[r] - first, loss[r], d_loss[r]);
    }
  });
}

void SliceOfRows::gradients(const float* x, const int32_t* targets, const float* at, const float* loss,
                            const float* d_loss, void* dx, DType dtype) const {
  with_float(dtype, [&]<typename T>(T) {
    T* out = static_cast<T*>(dx);
    for (int64_t r = 0; r < rows; ++r, out += columns) {
      const float* row = x + r * columns;
      for_lanes(columns, [&](int64_t i, int64_t count) {
        const Lanes p = exp(load(row + i, count) - Lanes(at[r]) - Lanes(loss[r]));
        store(out + i, p * Lanes(d_loss[r]), count);
      });
      if (holds(first, columns, targets[r])) store_target(out + targets[r] - first, loss[r], d_loss[r]);
    }
  });
}

void target_logits(const void* x, const void* weight, const int32_t* targets, DType dtype, int64_t rows, int64_t width,
                   float* at, int threads) {
  with_float(dtype, [&]<typename T>(T) {
    parallel_for(rows * width < 4 * piece ? 1 : threads, rows, [&](int64_t r) {
      const T *a = static_cast<const T*>(x) + r * width, *b = static_cast<const T*>(weight) + targets[r] * width;
      Lanes sums(0.0F);
      for_lanes(width, [&](int64_t i, int64_t count) { sums = fma(load(a + i, count), load(b + i, count), sums); });
      at[r] = sum(sums);
    });
  });
}

void add_partials(const float* partials, int64_t stride, int64_t count, int64_t n, DType dtype, void* out,
                  int threads) {
  with_float(dtype, [&]<typename T>(T) {
    for_pieces(n, threads, [&](int64_t i, int64_t lanes) {
      Lanes sums = load(partials + i, lanes);
      for (int64_t g = 1; g < count; ++g) sums = sums + load(partials + g * stride + i, lanes);
      store(static_cast<T*>(out) + i, sums, lanes);
    });
  });
}

void finish_slice(float* out, const float* partials, int64_t stride, int64_t count, int64_t n, const Fold& fold,
                  int threads) {
  if (count == 1 && !fold.apart()) return;
  constexpr int64_t tile = 1024;  // elements: 4 KiB of L1
  parallel_for(n < 4 * piece ? 1 : threads, (n + tile - 1) / tile, [&](int64_t t) {
    alignas(64) float sums[tile];
    const int64_t begin = t * tile, length = std::min(tile, n - begin);
    for_lanes(length, [&](int64_t i, int64_t lanes) {
      Lanes sum = load((fold.apart() ? partials : out) + begin + i, lanes);
      for (int64_t g = 1; g < count; ++g) sum = sum + load(partials + g * stride + begin + i, lanes);
      store(sums + i, sum, lanes);
    });
    fold(sums, out + begin, length);
  });
}

}  // namespace ringmaster::backend
