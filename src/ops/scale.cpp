// SPDX-License-Identifier: Apache-2.0
// scale: y = factor * x.     dx = factor * dy
//   in  x: f32, bf16 or f16, any shape     out y like x     attrs factor
//   numerics: the factor is rounded to f32; computed in f32, rounded once.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"factor", 1.0, true}};

std::vector<Tensor> grad(const ir::GradView& v) { return {scale(v.d_out[0], v.attrs.number("factor"))}; }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const double factor = v.attrs.number("factor");
  for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = factor * in[0].data[i];
}

auto formula(const ir::OpView& v) {
  return [factor = static_cast<float>(v.attrs.number("factor"))](float x) { return x * factor; };
}

}  // namespace

const OpDef scale_op{
    .name = "scale",
    .doc = "factor * x",
    .attrs = attrs,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_unary,
    .grad = grad,
    .reference = reference,
    .cpu = [](const ir::OpView& v, int threads) { return unary_kernel(v, threads, formula(v)); },
    .tile = [](const ir::OpView& v) { return unary_tile_of(formula(v)); },
    .identity =
        [](const ir::OpView& v) { return v.attrs.number("factor") == 1.0 ? std::optional<int>(0) : std::nullopt; },
    .samples =
        [] {
          return unary_samples({{"factor", 0.7}});
        },
    .traits = {.in_place = true}};

Tensor scale(Tensor x, double factor) { return x.builder().emit1(scale_op, {x}, {{"factor", factor}}); }

}  // namespace ringmaster::ops
