// SPDX-License-Identifier: Apache-2.0
// stop_gradient: y = x, and no gradient flows back.
//   in  x: any dtype and shape     out y like x, a view of it
#include "ops/defs.h"
#include "ops/moves.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  out[0].data = in[0].data;
}

}  // namespace

const OpDef stop_gradient_op{
    .name = "stop_gradient",
    .doc = "x, through which no gradient flows",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = [](const ir::OpView& v) { return std::vector<ir::Type>{v.in[0]}; },
    .reference = reference,
    .cpu = copy_cpu,
    .view = [](const ir::OpView&, int) { return std::optional<int64_t>(0); },
    .identity = identity_if_same_type,
    .samples =
        [] {
          return with_16_bit({{.in = {f32({})}}, {.in = {f32({3, 5, 7})}}, {.in = {f32({0})}}});
        },
    .traits = {.cost = ir::CostClass::free, .in_place = true, .differentiable = false}};

Tensor stop_gradient(Tensor x) { return x.builder().emit1(stop_gradient_op, {x}); }

}  // namespace ringmaster::ops
