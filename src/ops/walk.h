// SPDX-License-Identifier: Apache-2.0
// walk: how a kernel visits a dense output while its K operands advance by strides of their own (0 where broadcast). Dims that
// all operands allow are merged first, so that same shape, scalar, bias and mask are one or two plain loops.
#pragma once
#include <array>
#include <cstdint>

#include "core/shape.h"
#include "ops/element.h"

namespace ringmaster::ops {

template <int K> struct Walk {
  int rank = 0;  // >= 1; the last dim is the inner loop
  int64_t elements = 1;
  std::array<int64_t, Shape::max_rank> dims{};
  std::array<std::array<int64_t, Shape::max_rank>, K> strides{};  // in elements

  int64_t inner() const { return dims[static_cast<size_t>(rank - 1)]; }
  int64_t inner_stride(size_t k) const { return strides[k][static_cast<size_t>(rank - 1)]; }

  // Appends a dim, or melts it into the last one.
  void push(int64_t dim, const std::array<int64_t, K>& by) {
    elements *= dim;
    if (dim == 1) return;
    bool melts = rank > 0;
    for (size_t k = 0; melts && k < K; ++k) melts = strides[k][static_cast<size_t>(rank - 1)] == by[k] * dim;
    if (!melts) ++rank;
    const auto last = static_cast<size_t>(rank - 1);
    dims[last] = melts ? dims[last] * dim : dim;
    for (size_t k = 0; k < K; ++k) strides[k][last] = by[k];
  }
  // A scalar is a row of one element.
  void finish() {
    if (rank > 0) return;
    rank = 1;
    dims[0] = 1;
    for (size_t k = 0; k < K; ++k) strides[k][0] = 1;
  }
};

// Operands that broadcast to `out`. An inner stride is 1, or 0 for an operand that is constant along the row.
template <int K> Walk<K> walk_broadcast(const Shape& out, const std::array<Shape, K>& in) {
  Walk<K> walk;
  for (int d = 0; d < out.rank(); ++d) {
    std::array<int64_t, K> by{};
    for (size_t k = 0; k < K; ++k) {
      const int own = d - (out.rank() - in[k].rank());
      if (own >= 0 && in[k][own] != 1) by[k] = in[k].strides()[static_cast<size_t>(own)];
    }
    walk.push(out[d], by);
  }
  walk.finish();
  return walk;
}

// row(offsets of the K operands, offset in the output, count) for every piece of an inner row; pieces are independent.
template <int K, typename Row> void for_rows(const Walk<K>& walk, int threads, const Row& row) {
  constexpr int64_t piece = 8192;  // 32 KiB of f32
  if (walk.elements == 0) return;
  const int64_t inner = walk.inner(), pieces = (inner + piece - 1) / piece, tasks = walk.elements / inner * pieces;
  backend::parallel_for(threads_for(walk.elements, threads), tasks, [&](int64_t task) {
    const int64_t begin = task % pieces * piece;
    std::array<int64_t, K> at{};
    for (size_t k = 0; k < K; ++k) at[k] = begin * walk.inner_stride(k);
    int64_t index = task / pieces;
    for (int d = walk.rank - 2; d >= 0; --d) {
      const auto dim = static_cast<size_t>(d);
      for (size_t k = 0; k < K; ++k) at[k] += index % walk.dims[dim] * walk.strides[k][dim];
      index /= walk.dims[dim];
    }
    row(at, task / pieces * inner + begin, std::min(piece, inner - begin));
  });
}

}  // namespace ringmaster::ops
