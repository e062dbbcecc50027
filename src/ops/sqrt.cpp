// SPDX-License-Identifier: Apache-2.0
// sqrt: y = x^(1/2).     dx = dy / (2 y)
//   in  x: f32, bf16 or f16, any shape     out y like x
//   numerics: IEEE square root in f32, rounded once; NaN below 0.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float x) { return std::sqrt(x); };

std::vector<Tensor> grad(const ir::GradView& v) { return {scale(div(v.d_out[0], v.out[0]), 0.5)}; }

}  // namespace

const OpDef sqrt_op{.name = "sqrt",
                    .doc = "square root",
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer_unary,
                    .grad = grad,
                    .reference = unary_reference<[](double x) { return std::sqrt(x); }>,
                    .cpu = unary_cpu<formula>,
                    .tile = unary_tile<formula>,
                    .samples = [] { return unary_samples({}, {.kind = ir::Fill::uniform, .low = 0.5, .high = 2.0}); },
                    .traits = {.in_place = true}};

Tensor sqrt(Tensor x) { return x.builder().emit1(sqrt_op, {x}); }

}  // namespace ringmaster::ops
