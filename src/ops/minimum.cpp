// SPDX-License-Identifier: Apache-2.0
// minimum: y = the smaller of a and b.     da = dy where a < b, dy / 2 where a = b, else 0; db the rest of dy; each summed
//   over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: exact; NaN where either is.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/extreme.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return a < b || a != a ? a : b; };

}  // namespace

const OpDef minimum_op{.name = "minimum",
                       .doc = "the smaller of a and b, shapes broadcast",
                       .min_inputs = 2,
                       .max_inputs = 2,
                       .infer = infer_binary,
                       .grad = extreme_grad<[](Tensor x, Tensor y) { return greater(y, x); }>,
                       .reference = binary_reference<[](double a, double b) { return b < a || b != b ? b : a; }>,
                       .cpu = binary_cpu<formula>,
                       .tile = binary_tile<formula>,
                       .samples = extreme_samples,
                       .traits = {.in_place = true}};

Tensor minimum(Tensor a, Tensor b) { return a.builder().emit1(minimum_op, {a, b}); }

}  // namespace ringmaster::ops
