// SPDX-License-Identifier: Apache-2.0
// add: y = a + b.     da = dy, db = dy, each summed over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: added in f32, rounded once.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return a + b; };

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor dy = v.d_out[0];
  return {v.needed[0] ? sum_to(dy, v.in[0].shape()) : Tensor(), v.needed[1] ? sum_to(dy, v.in[1].shape()) : Tensor()};
}

}  // namespace

const OpDef add_op{.name = "add",
                   .doc = "a + b, shapes broadcast",
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .infer = infer_binary,
                   .grad = grad,
                   .reference = binary_reference<[](double a, double b) { return a + b; }>,
                   .cpu = binary_cpu<formula>,
                   .tile = binary_tile<formula>,
                   .samples = [] { return binary_samples(); },
                   .traits = {.plus = true, .in_place = true}};

Tensor add(Tensor a, Tensor b) { return a.builder().emit1(add_op, {a, b}); }

}  // namespace ringmaster::ops
