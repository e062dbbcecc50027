// SPDX-License-Identifier: Apache-2.0
// reference: index arithmetic for the plain f64 loops of the reference evaluator. Kernels do not use it: the two are judged
// against each other.
#pragma once
#include <cstdint>
#include <vector>

#include "core/shape.h"

namespace ringmaster::ops {

// the multi-index of a flat row-major position
inline std::vector<int64_t> unravel(const Shape& shape, int64_t flat) {
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[static_cast<size_t>(d)] = flat % shape[d];
    flat /= shape[d];
  }
  return index;
}

inline size_t ravel(const Shape& shape, const std::vector<int64_t>& index) {
  int64_t flat = 0;
  for (int d = 0; d < shape.rank(); ++d) flat = flat * shape[d] + index[static_cast<size_t>(d)];
  return static_cast<size_t>(flat);
}

// where a tensor that broadcasts to the shape of `index` is read
inline size_t ravel_broadcast(const Shape& shape, const std::vector<int64_t>& index) {
  const size_t skipped = index.size() - static_cast<size_t>(shape.rank());
  int64_t flat = 0;
  for (int d = 0; d < shape.rank(); ++d)
    flat = flat * shape[d] + (shape[d] == 1 ? 0 : index[static_cast<size_t>(d) + skipped]);
  return static_cast<size_t>(flat);
}

}  // namespace ringmaster::ops
