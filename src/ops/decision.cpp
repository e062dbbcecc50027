// SPDX-License-Identifier: Apache-2.0
// decision: whether a phase ends with an update: 1 if norm and loss are finite and its gradients fitted their grids, else 0 and no
// weight changes.
//   in  norm f32[], loss f32[]; fits i32[], optional (grids.cpp)     out i32[]     errors: config if an input has another type.
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

std::vector<ir::Type> infer(const ir::OpView& v) {
  for (size_t i = 0; i < v.in.size(); ++i)
    if (const ir::Type expected = i < 2 ? f32({}) : i32({}); !(v.in[i] == expected))
      throw Error({.kind = ErrorKind::config, .message = "an input is " + str(v.in[i]), .expected = str(expected)});
  return {i32({})};
}

void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const bool fits = in.size() < 3 || in[2].data[0] == 1.0;
  out[0].data[0] = fits && std::isfinite(in[0].data[0]) && std::isfinite(in[1].data[0]) ? 1.0 : 0.0;
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int) {
  return ir::make_kernel([fixed = v.in.size() == 3](const ir::KernelArgs& a) {
    const bool fits = !fixed || *a.input<int32_t>(2) == 1;
    *a.output<int32_t>(0) = fits && std::isfinite(*a.input<float>(0)) && std::isfinite(*a.input<float>(1)) ? 1 : 0;
  });
}

}  // namespace

const OpDef decision_op{.name = "decision",
                        .doc = "norm, loss (, fits) -> 1 if both are finite and fits is 1, else 0",
                        .min_inputs = 2,
                        .max_inputs = 3,
                        .infer = infer,
                        .reference = reference,
                        .cpu = cpu,
                        .samples =
                            [] {
                              const ir::Fill drawn{}, bit{.kind = ir::Fill::ids, .high = 2.0};
                              std::vector<ir::Sample> list(5, {.in = {f32({}), f32({})}});
                              for (size_t i = 1; i < list.size(); ++i) {
                                list[i].in.push_back(i32({}));
                                list[i].fill = {drawn, drawn, bit};
                              }
                              return list;
                            },
                        .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

Tensor decision(Tensor norm, Tensor loss, Tensor fits) {
  std::vector<Tensor> in{norm, loss};
  if (fits.valid()) in.push_back(fits);
  return norm.builder().emit(decision_op, in).front();
}

}  // namespace ringmaster::ops
