// SPDX-License-Identifier: Apache-2.0
// norm: the square root of the sum of sums of squares (square_sums.cpp).
//   in  f64[n]     out f32[]
//   numerics: f64, added one after the other: whoever computed them, the bits are the same.   errors: config if the input is not f64[n].
#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>
#include <numeric>

namespace ringmaster::ops {
namespace {

std::vector<ir::Type> infer(const ir::OpView& v) {
  if (v.in[0].dtype == DType::f64 && v.in[0].shape.rank() == 1) return {f32({})};
  throw Error({.kind = ErrorKind::config, .message = "sums are " + str(v.in[0]), .expected = "f64[n]"});
}

void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  double total = 0.0;
  for (const double x : in[0].data) total += x;
  out[0].data[0] = std::sqrt(total);
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int) {
  return ir::make_kernel([n = v.in[0].shape.elements()](const ir::KernelArgs& a) {
    const auto* sums = a.input<double>(0);
    *a.output<float>(0) = static_cast<float>(std::sqrt(std::accumulate(sums, sums + n, 0.0)));
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (const int64_t n : {0, 1, 17, 2000})
    list.push_back({.in = {{DType::f64, {n}}}, .fill = {{.kind = ir::Fill::positive}}});
  return list;
}

}  // namespace

const OpDef norm_op{.name = "norm",
                    .doc = "square root of the sum of sums of squares",
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer,
                    .reference = reference,
                    .cpu = cpu,
                    .samples = samples,
                    .traits = {.cast = ir::CastClass::f32, .differentiable = false}};

Tensor global_norm(std::span<const Tensor> xs, std::span<const Tensor> grids) {
  const Tensor sums = square_sums(xs, grids);
  return sums.builder().emit1(norm_op, {sums});
}

}  // namespace ringmaster::ops
