// SPDX-License-Identifier: Apache-2.0
// layer_norm: normalise the last dim of x, then scale and shift.     Ba et al. 2016, arXiv:1607.06450
//   y_NC = z_NC gain_C + bias_C, z_NC = (x_NC - mean_N) rstd_N, rstd = 1 / sqrt(var + eps)     N = all leading dims, C = channels
//   in  x f32, bf16 or f16; gain, bias f32[C]     out y like x; mean, rstd f32[N dims], kept for the gradient (layer_norm_grad.cpp)
//   with a residual, like x, as fourth input, x + residual is normalised and is the fourth output: rows of it are added in front of
//   their norm and still in the cache then. With `narrow_out` y has 16 bits, where x is f32: it is rounded once.
//   numerics: oneDNN; f32 statistics whatever x is; x + residual is rounded to its dtype first, so the bits are those of two nodes.
//   errors: config if x has no dim, gain or bias is not f32[C], the residual is not like x, or y can not be narrow.
#include "ops/layer_norm.h"
#include "backend/cpu/dnnl.h"
#include "ops/defs.h"
#include "ops/narrow.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::Type;

const ir::AttrSpec attrs[] = {{"eps", 1e-5},
                              {"narrow_out", std::string(), false, "'' | bf16 | f16: y in 16 bits instead of f32"}};

bool has_residual(size_t inputs) { return inputs == 4; }

std::vector<Type> infer(const OpView& v) {
  require_rows(v.in[0]);
  const Type vector = f32({v.in[0].shape.dim(-1)}), statistic = f32(leading(v.in[0].shape));
  require_type(v, 1, "gain", vector);
  require_type(v, 2, "bias", vector);
  const auto narrow = narrow_of(v.attrs, "narrow_out");
  std::vector<Type> out{narrow ? narrowed(v.in[0], *narrow) : v.in[0], statistic, statistic};
  if (has_residual(v.in.size())) {
    require_type(v, 3, "the residual", v.in[0]);
    out.push_back(v.in[0]);
  }
  return out;
}

void add_to(Tensor& total, Tensor term) { total = total.valid() ? total + term : term; }

std::vector<Tensor> grad(const ir::GradView& v) {
  const bool residual = has_residual(v.in.size());
  const Tensor x = residual ? v.out[3] : v.in[0], gain = v.in[1], mean = v.out[1], rstd = v.out[2];
  const Tensor dy = v.d_out[0].valid() ? like(v.d_out[0], x) : Tensor();
  const bool needs_x = v.needed[0] || (residual && v.needed[3]);
  std::vector<Tensor> d(v.in.size());
  if (dy.valid() && needs_x) d[0] = x.builder().emit1(layer_norm_grad_op, {dy, x, mean, rstd, gain});
  if (dy.valid() && (v.needed[1] || v.needed[2])) {
    const Tensor in[] = {dy, x, mean, rstd};
    const auto params = x.builder().emit(layer_norm_grad_params_op, in);
    d[1] = params[0];
    d[2] = params[1];
  }
  if (!needs_x) return d;
  // who uses the statistics themselves: d mean = dx / C, d rstd = -rstd^2 z dx / C
  const Shape shape = x.shape();  // a copy: new nodes move the graph's storage
  const double share = 1.0 / static_cast<double>(shape.dim(-1));
  if (v.d_out[1].valid()) add_to(d[0], like(broadcast_to(share * keep(v.d_out[1]), shape), x));
  if (v.d_out[2].valid()) {
    const Tensor z = (wide(x) - keep(mean)) * keep(rstd);
    add_to(d[0], like(-share * (z * (keep(v.d_out[2]) * square(keep(rstd)))), x));
  }
  if (residual) {
    if (v.d_out[3].valid()) add_to(d[0], v.d_out[3]);
    d[3] = d[0];
  }
  return d;
}

std::vector<Tensor> decompose(const ir::Attrs& a, std::span<const Tensor> in) {
  const bool residual = has_residual(in.size());
  const Tensor rows = residual ? in[0] + in[3] : in[0], x = wide(rows);
  const int64_t last = x.shape().rank() - 1;
  const double share = 1.0 / static_cast<double>(x.dim(-1));
  const Tensor mean = share * sum(x, {last}, true), centred = x - mean;
  const Tensor deviation = sqrt(share * sum(square(centred), {last}, true) + a.number("eps"));
  const Tensor rstd = full(x.builder(), f32({}), 1.0) / deviation;
  const Shape statistic = leading(x.shape());
  const DType dtype = dtype_from_name(a.text("narrow_out")).value_or(rows.dtype());
  std::vector<Tensor> out{cast(centred / deviation * in[1] + in[2], dtype), reshape(mean, statistic),
                          reshape(rstd, statistic)};
  if (residual) out.push_back(rows);
  return out;
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const size_t c = in[1].data.size(), rows = out[1].data.size();
  std::vector<double> sum = in[0].data;
  if (has_residual(in.size())) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += in[3].data[i];
    out[3].data = sum;
  }
  for (size_t n = 0; n < rows; ++n) {
    const double* x = sum.data() + n * c;
    double mean = 0.0, variance = 0.0;
    for (size_t j = 0; j < c; ++j) mean += x[j] / static_cast<double>(c);
    for (size_t j = 0; j < c; ++j) variance += (x[j] - mean) * (x[j] - mean) / static_cast<double>(c);
    const double rstd = 1.0 / std::sqrt(variance + v.attrs.number("eps"));
    for (size_t j = 0; j < c; ++j) out[0].data[n * c + j] = (x[j] - mean) * rstd * in[1].data[j] + in[2].data[j];
    out[1].data[n] = mean;
    out[2].data[n] = rstd;
  }
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const int64_t c = v.in[1].shape.elements(), rows = v.out[1].shape.elements();
  const double eps = v.attrs.number("eps");
  const bool residual = has_residual(v.in.size());
  auto norm = std::make_unique<backend::Rows>(backend::RowsSpec{.kind = backend::RowsSpec::layer_norm,
                                                                .rows = rows,
                                                                .width = c,
                                                                .dtype = v.in[0].dtype,
                                                                .out = v.out[0].dtype,
                                                                .eps = eps},
                                              threads);
  const int64_t scratch = norm->scratch_bytes();
  return ir::make_kernel(
      [=, norm = std::move(norm)](const ir::KernelArgs& a) {
        const void* x = residual ? a.out[3] : a.in[0];
        const backend::RowsSum sum = residual ? backend::RowsSum{a.in[0], a.in[3], a.out[3]} : backend::RowsSum{};
        norm->run({x, a.in[1], a.in[2]}, {a.out[0], a.out[1], a.out[2]}, a.scratch, sum);
        auto* rstd = a.output<float>(2);  // holds the variance
        for (int64_t n = 0; n < rows; ++n) rstd[n] = 1.0F / std::sqrt(rstd[n] + static_cast<float>(eps));
      },
      scratch);
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& x, bool shipped, bool residual, const ir::Attrs& a = {}) {
    const Type vector = f32({x.dim(-1)});
    list.push_back({.in = {f32(x), vector, vector}, .attrs = a, .shipped = shipped});
    if (residual) list.back().in.push_back(f32(x));
  };
  for (const bool residual : {false, true}) {
    for (const Shape& x : norm_shapes) add(x, false, residual);
    for (const Shape& x : shipped_norm_shapes) add(x, true, residual);
    add({17, 33}, false, residual, {{"narrow_out", std::string("bf16")}});
    add({3, 5, 7}, false, residual, {{"narrow_out", std::string("f16")}});
    add({4, 256, 768}, true, residual, {{"narrow_out", std::string("bf16")}});
  }
  return with_16_bit_rows(std::move(list), {0, 3});
}

}  // namespace

const OpDef layer_norm_op{
    .name = "layer_norm",
    .doc = "(x - mean) rstd gain + bias over the last dim; also gives mean and rstd; of x + residual, and that sum",
    .attrs = attrs,
    .min_inputs = 3,
    .max_inputs = 4,
    .infer = infer,
    .grad = grad,
    .decompose = decompose,
    .reference = reference,
    .cpu = cpu,
    .samples = samples,
    .traits = {.adds_before = true, .narrow_out = true}};

Tensor layer_norm(Tensor x, Tensor gain, Tensor bias, double eps) {
  return x.builder().emit1(layer_norm_op, {x, gain, bias}, {{"eps", eps}});
}

}  // namespace ringmaster::ops
