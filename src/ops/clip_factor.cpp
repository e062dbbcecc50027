// SPDX-License-Identifier: Apache-2.0
// clip_factor: min(1, max_norm / (norm + 1e-6)), what gradients are multiplied by; 1 where max_norm is 0 (no clipping).
//   After Pascanu et al. 2013, arXiv:1211.5063, with the 1e-6 of PyTorch's clip_grad_norm_.
//   in  norm f32[]     out f32[]     errors: config if norm is not f32[] or max_norm is negative.
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <algorithm>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"max_norm", 0.0, true, "0: no clipping"}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  if (!(v.in[0] == f32({})))
    throw Error({.kind = ErrorKind::config, .message = "norm is " + str(v.in[0]), .expected = "f32[]"});
  const double max_norm = v.attrs.number("max_norm");
  if (!(max_norm >= 0.0)) {
    throw Error(
        {.kind = ErrorKind::config, .message = fmt::format("max_norm is {}", max_norm), .expected = "0 or more"});
  }
  return {f32({})};
}

double factor(double norm, double max_norm) { return max_norm == 0.0 ? 1.0 : std::min(1.0, max_norm / (norm + 1e-6)); }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  out[0].data[0] = factor(in[0].data[0], v.attrs.number("max_norm"));
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int) {
  const auto max_norm = static_cast<float>(v.attrs.number("max_norm"));
  return ir::make_kernel([max_norm](const ir::KernelArgs& a) {
    const float norm = *a.input<float>(0);
    *a.output<float>(0) = max_norm == 0.0F ? 1.0F : std::min(1.0F, max_norm / (norm + 1e-6F));
  });
}

std::vector<ir::Sample> samples() {
  const ir::Fill positive{.kind = ir::Fill::positive};
  std::vector<ir::Sample> list;
  for (const double max_norm : {0.0, 0.1, 1.0, 100.0})
    list.push_back({.in = {f32({})}, .attrs = {{"max_norm", max_norm}}, .fill = {positive}});
  return list;
}

}  // namespace

const OpDef clip_factor_op{.name = "clip_factor",
                           .doc = "min(1, max_norm / (norm + 1e-6))",
                           .attrs = attrs,
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .infer = infer,
                           .reference = reference,
                           .cpu = cpu,
                           .samples = samples,
                           .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

Tensor clip_factor(Tensor norm, double max_norm) {
  return norm.builder().emit1(clip_factor_op, {norm}, {{"max_norm", max_norm}});
}

}  // namespace ringmaster::ops
