// SPDX-License-Identifier: Apache-2.0
// log: y = ln x.     dx = dy / x
//   in  x: f32, bf16 or f16, any shape     out y like x
//   numerics: computed in f32 by the C library, rounded once; -inf at 0, NaN below.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

constexpr auto formula = [](float x) { return std::log(x); };

std::vector<Tensor> grad(const ir::GradView& v) { return {div(v.d_out[0], v.in[0])}; }

}  // namespace

const OpDef log_op{.name = "log",
                   .doc = "natural logarithm",
                   .min_inputs = 1,
                   .max_inputs = 1,
                   .infer = infer_unary,
                   .grad = grad,
                   .reference = unary_reference<[](double x) { return std::log(x); }>,
                   .cpu = unary_cpu<formula>,
                   .tile = unary_tile<formula>,
                   .samples = [] { return unary_samples({}, {.kind = ir::Fill::uniform, .low = 0.5, .high = 2.0}); },
                   .traits = {.in_place = true}};

Tensor log(Tensor x) { return x.builder().emit1(log_op, {x}); }

}  // namespace ringmaster::ops
