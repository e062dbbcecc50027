// SPDX-License-Identifier: Apache-2.0
// exp: y = e^x.     dx = dy * y
//   in  x: f32, bf16 or f16, any shape     out y like x
//   numerics: computed in f32 by the C library, rounded once.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float x) { return std::exp(x); };

std::vector<Tensor> grad(const ir::GradView& v) { return {mul(v.d_out[0], v.out[0])}; }

}  // namespace

const OpDef exp_op{.name = "exp",
                   .doc = "e^x",
                   .min_inputs = 1,
                   .max_inputs = 1,
                   .infer = infer_unary,
                   .grad = grad,
                   .reference = unary_reference<[](double x) { return std::exp(x); }>,
                   .cpu = unary_cpu<formula>,
                   .tile = unary_tile<formula>,
                   .samples = [] { return unary_samples(); },
                   .traits = {.in_place = true}};

Tensor exp(Tensor x) { return x.builder().emit1(exp_op, {x}); }

}  // namespace ringmaster::ops
