// SPDX-License-Identifier: Apache-2.0
// tanh: y = tanh x.     dx = dy * (1 - y^2)
//   in  x: f32, bf16 or f16, any shape     out y like x
//   numerics: computed in f32 by the C library, rounded once.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float x) { return std::tanh(x); };

std::vector<Tensor> grad(const ir::GradView& v) { return {mul(v.d_out[0], shift(scale(square(v.out[0]), -1.0), 1.0))}; }

}  // namespace

const OpDef tanh_op{.name = "tanh",
                    .doc = "hyperbolic tangent",
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer_unary,
                    .grad = grad,
                    .reference = unary_reference<[](double x) { return std::tanh(x); }>,
                    .cpu = unary_cpu<formula>,
                    .tile = unary_tile<formula>,
                    .samples = [] { return unary_samples(); },
                    .traits = {.in_place = true}};

Tensor tanh(Tensor x) { return x.builder().emit1(tanh_op, {x}); }

}  // namespace ringmaster::ops
