// SPDX-License-Identifier: Apache-2.0
// relu: y = max(x, 0).     dx = dy where x > 0, else 0 (at 0 too)     Nair and Hinton 2010
//   in  x: f32, bf16 or f16, any shape     out y like x
//   numerics: exact; a NaN stays one.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float x) { return x <= 0.0F ? 0.0F : x; };

// y > 0 where x > 0, so x need not live on
std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor dy = v.d_out[0];
  return {mul(dy, greater(v.out[0], full(dy.builder(), {dy.dtype(), {}}, 0.0)))};
}

}  // namespace

const OpDef relu_op{.name = "relu",
                    .doc = "max(x, 0)",
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer_unary,
                    .grad = grad,
                    .reference = unary_reference<[](double x) { return x <= 0.0 ? 0.0 : x; }>,
                    .cpu = unary_cpu<formula>,
                    .tile = unary_tile<formula>,
                    .samples = [] { return unary_samples(); },
                    .traits = {.in_place = true}};

Tensor relu(Tensor x) { return x.builder().emit1(relu_op, {x}); }

}  // namespace ringmaster::ops
