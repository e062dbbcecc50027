// SPDX-License-Identifier: Apache-2.0
// extreme: what maximum and minimum share. The gradient goes to the side that won, half to each at a tie.
#pragma once
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {

// wins(x, y) is 1 where x is the result and y is not.
template <Tensor (*wins)(Tensor x, Tensor y)> std::vector<Tensor> extreme_grad(const ir::GradView& v) {
  const Tensor a = v.in[0], b = v.in[1], dy = v.d_out[0];
  const Tensor tie = scale(equal(a, b), 0.5);
  std::vector<Tensor> d(2);
  if (v.needed[0]) d[0] = sum_to(mul(dy, add(wins(a, b), tie)), a.shape());
  if (v.needed[1]) d[1] = sum_to(mul(dy, add(wins(b, a), tie)), b.shape());
  return d;
}

// Both sides win somewhere, and no two values are so near that a difference could cross the tie.
inline std::vector<ir::Sample> extreme_samples() {
  std::vector<ir::Sample> list = binary_samples();
  for (ir::Sample& s : list)
    s.fill = {{.kind = ir::Fill::uniform, .low = 0.05, .high = 0.95}, {.kind = ir::Fill::ids, .high = 2.0}};
  return list;
}

}  // namespace ringmaster::ops
