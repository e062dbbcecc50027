// SPDX-License-Identifier: Apache-2.0
// div: y = a / b.     da = dy / b, db = -dy * y / b, each summed over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: IEEE division in f32, rounded once; x / 0 is an infinity.   errors: config if dtypes differ or shapes do not
//   broadcast.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float a, float b) { return a / b; };

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor a = v.in[0], b = v.in[1], da = div(v.d_out[0], b);
  return {v.needed[0] ? sum_to(da, a.shape()) : Tensor(),
          v.needed[1] ? scale(sum_to(mul(da, v.out[0]), b.shape()), -1.0) : Tensor()};
}

}  // namespace

const OpDef div_op{.name = "div",
                   .doc = "a / b, shapes broadcast",
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .infer = infer_binary,
                   .grad = grad,
                   .reference = binary_reference<[](double a, double b) { return a / b; }>,
                   .cpu = binary_cpu<formula>,
                   .tile = binary_tile<formula>,
                   .samples = [] { return binary_samples({.kind = ir::Fill::uniform, .low = 0.5, .high = 2.0}); },
                   .traits = {.in_place = true}};

Tensor div(Tensor a, Tensor b) { return a.builder().emit1(div_op, {a, b}); }

}  // namespace ringmaster::ops
