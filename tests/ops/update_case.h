// SPDX-License-Identifier: Apache-2.0
// update_case: an optimizer op on n f32 elements: `states` tensors with the weight, the gradient, then lr, step, clip, commit.
#pragma once
#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {

inline Case update_case(const char* op, size_t states, int64_t n, const ir::Attrs& attrs) {
  const ir::Type tensor{DType::f32, {n}}, f32{DType::f32, {}}, i32{DType::i32, {}};
  Case c{find(op), 0, {.in = std::vector(states + 1, tensor), .attrs = attrs}};
  c.sample.in.insert(c.sample.in.end(), {f32, i32, f32, i32});
  return c;
}

}  // namespace ringmaster::ops
