// SPDX-License-Identifier: Apache-2.0
// shift: y = x + offset.     dx = dy
//   in  x: f32, bf16 or f16, any shape     out y like x     attrs offset
//   numerics: the offset is rounded to f32; computed in f32, rounded once.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"offset", 0.0, true}};

std::vector<Tensor> grad(const ir::GradView& v) { return {v.d_out[0]}; }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const double offset = v.attrs.number("offset");
  for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = in[0].data[i] + offset;
}

auto formula(const ir::OpView& v) {
  return [offset = static_cast<float>(v.attrs.number("offset"))](float x) { return x + offset; };
}

}  // namespace

const OpDef shift_op{.name = "shift",
                     .doc = "x + offset",
                     .attrs = attrs,
                     .min_inputs = 1,
                     .max_inputs = 1,
                     .infer = infer_unary,
                     .grad = grad,
                     .reference = reference,
                     .cpu = [](const ir::OpView& v, int threads) { return unary_kernel(v, threads, formula(v)); },
                     .tile = [](const ir::OpView& v) { return unary_tile_of(formula(v)); },
                     .samples =
                         [] {
                           return unary_samples({{"offset", -1.5}});
                         },
                     .traits = {.in_place = true}};

Tensor shift(Tensor x, double offset) { return x.builder().emit1(shift_op, {x}, {{"offset", offset}}); }

}  // namespace ringmaster::ops
