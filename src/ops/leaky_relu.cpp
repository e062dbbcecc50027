// SPDX-License-Identifier: Apache-2.0
// leaky_relu: y = x where x > 0, else slope * x.     dx = dy where x > 0, else slope * dy     Maas et al. 2013
//   in  x: f32, bf16 or f16, any shape     out y like x     attrs slope
//   numerics: the slope is rounded to f32; computed in f32, rounded once; a NaN stays one.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"slope", 0.2, false, "factor of negative x"}};

std::vector<Tensor> grad(const ir::GradView& v) {
  const double slope = v.attrs.number("slope");
  const Tensor dy = v.d_out[0], zero = full(dy.builder(), {dy.dtype(), {}}, 0.0);
  return {mul(dy, shift(scale(greater(v.in[0], zero), 1.0 - slope), slope))};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const double slope = v.attrs.number("slope");
  for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = in[0].data[i] * (in[0].data[i] > 0.0 ? 1.0 : slope);
}

auto formula(const ir::OpView& v) {
  return [slope = static_cast<float>(v.attrs.number("slope"))](float x) { return x > 0.0F ? x : slope * x; };
}

}  // namespace

const OpDef leaky_relu_op{.name = "leaky_relu",
                          .doc = "x where x > 0, else slope * x",
                          .attrs = attrs,
                          .min_inputs = 1,
                          .max_inputs = 1,
                          .infer = infer_unary,
                          .grad = grad,
                          .reference = reference,
                          .cpu = [](const ir::OpView& v, int threads) { return unary_kernel(v, threads, formula(v)); },
                          .tile = [](const ir::OpView& v) { return unary_tile_of(formula(v)); },
                          .samples = [] { return unary_samples(); },
                          .traits = {.in_place = true}};

Tensor leaky_relu(Tensor x, double slope) { return x.builder().emit1(leaky_relu_op, {x}, {{"slope", slope}}); }

}  // namespace ringmaster::ops
