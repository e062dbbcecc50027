// SPDX-License-Identifier: Apache-2.0
// sub: y = a - b.     da = dy, db = -dy, each summed over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: subtracted in f32, rounded once.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return a - b; };

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor dy = v.d_out[0];
  // summed first: the sign then changes in the smaller tensor
  return {v.needed[0] ? sum_to(dy, v.in[0].shape()) : Tensor(),
          v.needed[1] ? scale(sum_to(dy, v.in[1].shape()), -1.0) : Tensor()};
}

}  // namespace

const OpDef sub_op{.name = "sub",
                   .doc = "a - b, shapes broadcast",
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .infer = infer_binary,
                   .grad = grad,
                   .reference = binary_reference<[](double a, double b) { return a - b; }>,
                   .cpu = binary_cpu<formula>,
                   .tile = binary_tile<formula>,
                   .samples = [] { return binary_samples(); },
                   .traits = {.in_place = true}};

Tensor sub(Tensor a, Tensor b) { return a.builder().emit1(sub_op, {a, b}); }

}  // namespace ringmaster::ops
