// SPDX-License-Identifier: Apache-2.0
// layer_norm: what layer_norm.cpp and layer_norm_grad.cpp share: the types of their inputs, pieces of primitives, shapes of samples.
// N rows (all dims but the last), C channels.
#pragma once
#include <initializer_list>
#include <optional>
#include <vector>

#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {

// of the statistics
inline Shape leading(const Shape& x) { return Shape(x.dims().first(static_cast<size_t>(x.rank() - 1))); }

inline void require_type(const ir::OpView& v, size_t i, const char* what, const ir::Type& expected) {
  if (v.in[i] == expected) return;
  throw Error(
      {.kind = ErrorKind::config, .message = fmt::format("{} is {}", what, str(v.in[i])), .expected = str(expected)});
}

inline void require_rows(const ir::Type& x) {
  require_float(x, "x");
  if (x.shape.rank() < 1)
    throw Error({.kind = ErrorKind::config, .message = "x is " + str(x), .expected = "one dim or more"});
}

// ---- primitives
inline Tensor keep(Tensor statistic) {
  Shape shape = statistic.shape();
  shape.push_back(1);
  return reshape(statistic, shape);
}
inline Tensor wide(Tensor x) { return cast(x, DType::f32); }
inline Tensor like(Tensor x, Tensor original) { return cast(x, original.dtype()); }

// ---- samples
inline const Shape norm_shapes[] = {{1}, {7}, {3, 5, 7}, {17, 33}, {65, 16}, {0, 4}};
inline const Shape shipped_norm_shapes[] = {{4, 256, 768}, {4, 128, 192}, {3, 64, 128}};

// The same cases again with 16 bits in these inputs; gain, bias and statistics are f32, and so is x with a narrow output.
inline std::vector<ir::Sample> with_16_bit_rows(std::vector<ir::Sample> list, std::initializer_list<size_t> inputs) {
  const size_t count = list.size();
  for (const DType dtype : {DType::bf16, DType::f16})
    for (size_t i = 0; i < count; ++i) {
      if (list[i].shipped || !list[i].attrs.items().empty()) continue;
      ir::Sample copy = list[i];
      for (const size_t k : inputs)
        if (k < copy.in.size()) copy.in[k].dtype = dtype;
      list.push_back(std::move(copy));
    }
  return list;
}

}  // namespace ringmaster::ops
