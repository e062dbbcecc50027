// SPDX-License-Identifier: Apache-2.0
// max_last: y = max_j x[.., j].     Not differentiable: it serves as a shift or a report.
//   in  x [.., C]: f32, bf16 or f16, C >= 1     out y [.., 1] like x
//   numerics: exact. A NaN is passed over unless the whole row is NaN, then y is -inf: what is computed from x shows it.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>
#include <limits>

namespace ringmaster::ops {
namespace {

std::vector<ir::Type> infer(const ir::OpView& v) {
  ir::Type out = v.in[0];
  require_float(out, "x");
  if (out.shape.rank() == 0 || out.shape[-1] == 0)
    throw Error({.kind = ErrorKind::config, .message = "x is " + str(out), .expected = "a last dim of 1 or more"});
  out.shape.set(-1, 1);
  return {out};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const auto columns = static_cast<size_t>(v.in[0].shape[-1]);
  for (size_t r = 0; r < out[0].data.size(); ++r) {
    double best = -INFINITY;
    for (size_t j = 0; j < columns; ++j) best = std::fmax(best, in[0].data[r * columns + j]);
    out[0].data[r] = best;
  }
}

template <typename T> float max_of(const T* x, int64_t n) {
  float best[lanes];
  std::fill_n(best, lanes, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) best[l] = load(x[i + l]) > best[l] ? load(x[i + l]) : best[l];
  for (int l = 0; i + l < n; ++l) best[l] = load(x[i + l]) > best[l] ? load(x[i + l]) : best[l];
  return *std::max_element(best, best + lanes);
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const int64_t rows = v.out[0].shape.elements(), columns = v.in[0].shape[-1];
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& args) {
      const T* x = args.input<T>(0);
      T* y = args.output<T>(0);
      backend::parallel_for(threads_for(rows * columns, threads), rows,
                            [&](int64_t r) { y[r] = store<T>(max_of(x + r * columns, columns)); });
    });
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (const Shape& shape : {Shape{1}, Shape{5, 1}, Shape{3, 5, 7}, Shape{17, 33}, Shape{0, 3}})
    list.push_back({.in = {f32(shape)}});
  list.push_back({.in = {f32({4, 12, 256, 256})}, .shipped = true});
  return with_16_bit(std::move(list));
}

}  // namespace

const OpDef max_last_op{.name = "max_last",
                        .doc = "largest element of each row: [.., C] -> [.., 1]",
                        .min_inputs = 1,
                        .max_inputs = 1,
                        .infer = infer,
                        .reference = reference,
                        .cpu = cpu,
                        .samples = samples,
                        .traits = {.differentiable = false}};

Tensor max_last(Tensor x) { return x.builder().emit1(max_last_op, {x}); }

}  // namespace ringmaster::ops
