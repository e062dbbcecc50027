// SPDX-License-Identifier: Apache-2.0
// greater: y = 1 where a > b, else 0.     A mask: its gradient is zero, so none flows.
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: exact; 0 where either is NaN.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return b < a ? 1.0F : 0.0F; };

}  // namespace

const OpDef greater_op{.name = "greater",
                       .doc = "1 where a > b, else 0; shapes broadcast",
                       .min_inputs = 2,
                       .max_inputs = 2,
                       .infer = infer_binary,
                       .reference = binary_reference<[](double a, double b) { return b < a ? 1.0 : 0.0; }>,
                       .cpu = binary_cpu<formula>,
                       .tile = binary_tile<formula>,
                       .samples = [] { return binary_samples(); },
                       .traits = {.in_place = true, .differentiable = false}};

Tensor greater(Tensor a, Tensor b) { return a.builder().emit1(greater_op, {a, b}); }

}  // namespace ringmaster::ops
