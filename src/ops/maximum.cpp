// SPDX-License-Identifier: Apache-2.0
// maximum: y = the larger of a and b.     da = dy where a > b, dy / 2 where a = b, else 0; db the rest of dy; each summed
//   over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: exact; NaN where either is.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/extreme.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return b < a || a != a ? a : b; };

}  // namespace

const OpDef maximum_op{.name = "maximum",
                       .doc = "the larger of a and b, shapes broadcast",
                       .min_inputs = 2,
                       .max_inputs = 2,
                       .infer = infer_binary,
                       .grad = extreme_grad<[](Tensor x, Tensor y) { return greater(x, y); }>,
                       .reference = binary_reference<[](double a, double b) { return a < b || b != b ? b : a; }>,
                       .cpu = binary_cpu<formula>,
                       .tile = binary_tile<formula>,
                       .samples = extreme_samples,
                       .traits = {.in_place = true}};

Tensor maximum(Tensor a, Tensor b) { return a.builder().emit1(maximum_op, {a, b}); }

}  // namespace ringmaster::ops
