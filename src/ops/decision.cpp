// SPDX-License-Identifier: Apache-2.0
// decision: whether a phase ends with an update: 1 if norm and loss are finite, else 0 and no state changes.
//   in  norm f32[], loss f32[]     out i32[]     errors: config if an input is not f32[].
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

std::vector<ir::Type> infer(const ir::OpView& v) {
  for (const ir::Type& type : v.in)
    if (!(type == f32({})))
      throw Error({.kind = ErrorKind::config, .message = "an input is " + str(type), .expected = "f32[]"});
  return {i32({})};
}

void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  out[0].data[0] = std::isfinite(in[0].data[0]) && std::isfinite(in[1].data[0]) ? 1.0 : 0.0;
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView&, int) {
  return ir::make_kernel([](const ir::KernelArgs& a) {
    *a.output<int32_t>(0) = std::isfinite(*a.input<float>(0)) && std::isfinite(*a.input<float>(1)) ? 1 : 0;
  });
}

}  // namespace

const OpDef decision_op{.name = "decision",
                        .doc = "norm, loss -> 1 if both are finite, else 0",
                        .min_inputs = 2,
                        .max_inputs = 2,
                        .infer = infer,
                        .reference = reference,
                        .cpu = cpu,
                        .samples =
                            [] {
                              return std::vector<ir::Sample>{{.in = {f32({}), f32({})}}};
                            },
                        .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

Tensor decision(Tensor norm, Tensor loss) { return norm.builder().emit1(decision_op, {norm, loss}); }

}  // namespace ringmaster::ops
