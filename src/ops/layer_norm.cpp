// SPDX-License-Identifier: Apache-2.0
// layer_norm: normalise the last dim of x, then scale and shift.     Ba et al. 2016, arXiv:1607.06450
//   y_NC = z_NC gain_C + bias_C, z_NC = (x_NC - mean_N) rstd_N, rstd = 1 / sqrt(var + eps)     N = all leading dims, C = channels
//   layer_norm_grad: dx_NC = rstd_N (g_NC - (sum_C g + z_NC sum_C g z) / C), g = dy gain
//   layer_norm_grad_params: dgain_C = sum_N dy z, dbias_C = sum_N dy
//   in  x f32, bf16 or f16; gain, bias f32[C]     out y like x; mean, rstd f32[N dims], kept for the gradient
//   numerics: oneDNN forward; f32 statistics whatever x is; sums over N by blocks of 32 rows, added in block order.
//   errors: config if x has no dim, gain or bias is not f32[C], or a gradient's inputs do not belong together.
#include "backend/cpu/dnnl.h"
#include "backend/cpu/lanes.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

using backend::for_lanes;
using backend::Lanes;
using ir::OpView;
using ir::Type;

const ir::AttrSpec attrs[] = {{"eps", 1e-5}};
constexpr int64_t block_rows = 32;

Shape leading(const Shape& x) { return Shape(x.dims().first(static_cast<size_t>(x.rank() - 1))); }

void require(const OpView& v, size_t i, const char* what, const Type& expected) {
  if (v.in[i] == expected) return;
  throw Error(
      {.kind = ErrorKind::config, .message = fmt::format("{} is {}", what, str(v.in[i])), .expected = str(expected)});
}

void require_rows(const Type& x) {
  require_float(x, "x");
  if (x.shape.rank() < 1)
    throw Error({.kind = ErrorKind::config, .message = "x is " + str(x), .expected = "one dim or more"});
}

std::vector<Type> infer(const OpView& v) {
  require_rows(v.in[0]);
  const Type vector = f32({v.in[0].shape.dim(-1)}), statistic = f32(leading(v.in[0].shape));
  require(v, 1, "gain", vector);
  require(v, 2, "bias", vector);
  return {v.in[0], statistic, statistic};
}

// dy, x, mean, rstd and, for dx, gain
std::vector<Type> infer_grad(const OpView& v) {
  require_rows(v.in[1]);
  const Type vector = f32({v.in[1].shape.dim(-1)}), statistic = f32(leading(v.in[1].shape));
  require(v, 0, "dy", v.in[1]);
  require(v, 2, "mean", statistic);
  require(v, 3, "rstd", statistic);
  if (v.in.size() == 4) return {vector, vector};
  require(v, 4, "gain", vector);
  return {v.in[1]};
}

Tensor keep(Tensor statistic) {
  Shape shape = statistic.shape();
  shape.push_back(1);
  return reshape(statistic, shape);
}
Tensor wide(Tensor x) { return cast(x, DType::f32); }
Tensor like(Tensor x, Tensor original) { return cast(x, original.dtype()); }

void add_to(Tensor& total, Tensor term) { total = total.valid() ? total + term : term; }

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor dy = v.d_out[0], x = v.in[0], gain = v.in[1], mean = v.out[1], rstd = v.out[2];
  std::vector<Tensor> d(3);
  if (dy.valid() && v.needed[0]) d[0] = x.builder().emit1(layer_norm_grad_op, {dy, x, mean, rstd, gain});
  if (dy.valid() && (v.needed[1] || v.needed[2])) {
    const Tensor in[] = {dy, x, mean, rstd};
    const auto params = x.builder().emit(layer_norm_grad_params_op, in);
    d[1] = params[0];
    d[2] = params[1];
  }
  if (!v.needed[0]) return d;
  // who uses the statistics themselves: d mean = dx / C, d rstd = -rstd^2 z dx / C
  const Shape shape = x.shape();  // a copy: new nodes move the graph's storage
  const double share = 1.0 / static_cast<double>(shape.dim(-1));
  if (v.d_out[1].valid()) add_to(d[0], like(broadcast_to(share * keep(v.d_out[1]), shape), x));
  if (v.d_out[2].valid()) {
    const Tensor z = (wide(x) - keep(mean)) * keep(rstd);
    add_to(d[0], like(-share * (z * (keep(v.d_out[2]) * square(keep(rstd)))), x));
  }
  return d;
}

std::vector<Tensor> decompose(const ir::Attrs& a, std::span<const Tensor> in) {
  const Tensor x = wide(in[0]);
  const int64_t last = x.shape().rank() - 1;
  const double share = 1.0 / static_cast<double>(x.dim(-1));
  const Tensor mean = share * sum(x, {last}, true), centred = x - mean;
  const Tensor deviation = sqrt(share * sum(square(centred), {last}, true) + a.number("eps"));
  const Tensor rstd = full(x.builder(), f32({}), 1.0) / deviation;
  const Shape statistic = leading(x.shape());
  return {like(centred / deviation * in[1] + in[2], in[0]), reshape(mean, statistic), reshape(rstd, statistic)};
}

std::vector<Tensor> decompose_grad(const ir::Attrs&, std::span<const Tensor> in) {
  const Tensor g = wide(in[0]) * in[4], z = (wide(in[1]) - keep(in[2])) * keep(in[3]);
  const std::vector<int64_t> last{g.shape().rank() - 1};
  const double share = 1.0 / static_cast<double>(g.dim(-1));
  return {like(keep(in[3]) * (g - share * (sum(g, last, true) + z * sum(g * z, last, true))), in[1])};
}

std::vector<Tensor> decompose_grad_params(const ir::Attrs&, std::span<const Tensor> in) {
  const Tensor dy = wide(in[0]), z = (wide(in[1]) - keep(in[2])) * keep(in[3]);
  const Shape vector{dy.dim(-1)};
  return {sum_to(dy * z, vector), sum_to(dy, vector)};
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const size_t c = in[1].data.size(), rows = out[1].data.size();
  for (size_t n = 0; n < rows; ++n) {
    const double* x = in[0].data.data() + n * c;
    double mean = 0.0, variance = 0.0;
    for (size_t j = 0; j < c; ++j) mean += x[j] / static_cast<double>(c);
    for (size_t j = 0; j < c; ++j) variance += (x[j] - mean) * (x[j] - mean) / static_cast<double>(c);
    const double rstd = 1.0 / std::sqrt(variance + v.attrs.number("eps"));
    for (size_t j = 0; j < c; ++j) out[0].data[n * c + j] = (x[j] - mean) * rstd * in[1].data[j] + in[2].data[j];
    out[1].data[n] = mean;
    out[2].data[n] = rstd;
  }
}

void reference_grad(const OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  const size_t c = in[4].data.size(), rows = in[2].data.size();
  for (size_t n = 0; n < rows; ++n) {
    const double mean = in[2].data[n], rstd = in[3].data[n];
    double sum_g = 0.0, sum_gz = 0.0;
    for (size_t j = 0; j < c; ++j) {
      const double g = in[0].data[n * c + j] * in[4].data[j];
      sum_g += g;
      sum_gz += g * (in[1].data[n * c + j] - mean) * rstd;
    }
    for (size_t j = 0; j < c; ++j) {
      const double g = in[0].data[n * c + j] * in[4].data[j], z = (in[1].data[n * c + j] - mean) * rstd;
      out[0].data[n * c + j] = rstd * (g - (sum_g + z * sum_gz) / static_cast<double>(c));
    }
  }
}

void reference_grad_params(const OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                           const ir::RunContext&) {
  const size_t c = out[0].data.size(), rows = in[2].data.size();
  for (size_t n = 0; n < rows; ++n)
    for (size_t j = 0; j < c; ++j) {
      out[0].data[j] += in[0].data[n * c + j] * (in[1].data[n * c + j] - in[2].data[n]) * in[3].data[n];
      out[1].data[j] += in[0].data[n * c + j];
    }
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const int64_t c = v.in[1].shape.elements(), rows = v.out[1].shape.elements();
  const double eps = v.attrs.number("eps");
  auto norm = std::make_unique<backend::Rows>(
      backend::RowsSpec{
          .kind = backend::RowsSpec::layer_norm, .rows = rows, .width = c, .dtype = v.in[0].dtype, .eps = eps},
      threads);
  const int64_t scratch = norm->scratch_bytes();
  return ir::make_kernel(
      [=, norm = std::move(norm)](const ir::KernelArgs& a) {
        norm->run({a.in[0], a.in[1], a.in[2]}, {a.out[0], a.out[1], a.out[2]}, a.scratch);
        auto* rstd = a.output<float>(2);  // holds the variance
        for (int64_t n = 0; n < rows; ++n) rstd[n] = 1.0F / std::sqrt(rstd[n] + static_cast<float>(eps));
      },
      scratch);
}

// One row; dx may be dy.
template <typename T>
void grad_row(const T* dy, const T* x, const float* gain, float mean, float rstd, T* dx, int64_t c) {
  const Lanes centre(mean), scale(rstd);
  Lanes sum_g(0.0F), sum_gz(0.0F);
  for_lanes(c, [&](int64_t j, int64_t n) {
    const Lanes g = backend::load(dy + j, n) * backend::load(gain + j, n);
    const Lanes z = (backend::load(x + j, n, mean) - centre) * scale;
    sum_g = sum_g + g;
    sum_gz = fma(g, z, sum_gz);
  });
  const float share = 1.0F / static_cast<float>(c);
  const Lanes mean_g(sum(sum_g) * share), mean_gz(sum(sum_gz) * share);
  for_lanes(c, [&](int64_t j, int64_t n) {
    const Lanes g = backend::load(dy + j, n) * backend::load(gain + j, n);
    const Lanes z = (backend::load(x + j, n) - centre) * scale;
    backend::store(dx + j, scale * (g - fma(z, mean_gz, mean_g)), n);
  });
}

std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) {
  const int64_t c = v.in[4].shape.elements(), rows = v.in[2].shape.elements();
  threads = threads_for(rows * c, threads);
  return with_float(v.in[1].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      const float *mean = a.input<float>(2), *rstd = a.input<float>(3), *gain = a.input<float>(4);
      backend::parallel_for(threads, rows, [&](int64_t n) {
        grad_row(a.input<T>(0) + n * c, a.input<T>(1) + n * c, gain, mean[n], rstd[n], a.output<T>(0) + n * c, c);
      });
    });
  });
}

// Adds one row to dgain[c] and dbias[c].
template <typename T>
void add_row(const T* dy, const T* x, float mean, float rstd, float* dgain, float* dbias, int64_t c) {
  const Lanes centre(mean), scale(rstd);
  for_lanes(c, [&](int64_t j, int64_t n) {
    const Lanes d = backend::load(dy + j, n), z = (backend::load(x + j, n) - centre) * scale;
    backend::store(dgain + j, fma(d, z, backend::load(dgain + j, n)), n);
    backend::store(dbias + j, d + backend::load(dbias + j, n), n);
  });
}

std::unique_ptr<ir::Kernel> cpu_grad_params(const OpView& v, int threads) {
  const int64_t c = v.out[0].shape.elements(), rows = v.in[2].shape.elements();
  const int64_t blocks = (rows + block_rows - 1) / block_rows;
  threads = threads_for(rows * c, threads);
  return with_float(v.in[1].dtype, [&]<typename T>(T) {
    return ir::make_kernel(
        [=](const ir::KernelArgs& a) {
          const float *mean = a.input<float>(2), *rstd = a.input<float>(3);
          auto* partial = static_cast<float*>(a.scratch);  // [blocks][dgain, dbias][c]
          backend::parallel_for(threads, blocks, [&](int64_t block) {
            float *dgain = partial + 2 * block * c, *dbias = dgain + c;
            std::fill(dgain, dgain + 2 * c, 0.0F);
            for (int64_t n = block * block_rows; n < std::min(rows, (block + 1) * block_rows); ++n)
              add_row(a.input<T>(0) + n * c, a.input<T>(1) + n * c, mean[n], rstd[n], dgain, dbias, c);
          });
          for (int which = 0; which < 2; ++which) {
            auto* total = a.output<float>(which);
            std::fill(total, total + c, 0.0F);
            for (int64_t block = 0; block < blocks; ++block)
              for (int64_t j = 0; j < c; ++j) total[j] += partial[(2 * block + which) * c + j];
          }
        },
        2 * blocks * c * 4);
  });
}

// x may be 16-bit, gain, bias and statistics are f32
std::vector<ir::Sample> with_16_bit_rows(std::vector<ir::Sample> list, std::initializer_list<size_t> inputs) {
  const size_t count = list.size();
  for (const DType dtype : {DType::bf16, DType::f16})
    for (size_t i = 0; i < count; ++i) {
      if (list[i].shipped) continue;
      ir::Sample copy = list[i];
      for (const size_t k : inputs) copy.in[k].dtype = dtype;
      list.push_back(std::move(copy));
    }
  return list;
}

const Shape small_shapes[] = {{1}, {7}, {3, 5, 7}, {17, 33}, {65, 16}, {0, 4}};
const Shape shipped_shapes[] = {{4, 256, 768}, {4, 128, 192}, {3, 64, 128}};

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& x, bool shipped) {
    const Type vector = f32({x.dim(-1)});
    list.push_back({.in = {f32(x), vector, vector}, .shipped = shipped});
  };
  for (const Shape& x : small_shapes) add(x, false);
  for (const Shape& x : shipped_shapes) add(x, true);
  return with_16_bit_rows(std::move(list), {0});
}

std::vector<ir::Sample> samples_grad(bool with_gain) {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& x, bool shipped) {
    const ir::Fill positive{.kind = ir::Fill::positive};
    list.push_back(
        {.in = {f32(x), f32(x), f32(leading(x)), f32(leading(x))}, .fill = {{}, {}, {}, positive}, .shipped = shipped});
    if (with_gain) list.back().in.push_back(f32({x.dim(-1)}));
  };
  for (const Shape& x : small_shapes) add(x, false);
  for (const Shape& x : shipped_shapes) add(x, true);
  return with_16_bit_rows(std::move(list), {0, 1});
}

}  // namespace

const OpDef layer_norm_op{.name = "layer_norm",
                          .doc = "(x - mean) rstd gain + bias over the last dim; also gives mean and rstd",
                          .attrs = attrs,
                          .min_inputs = 3,
                          .max_inputs = 3,
                          .infer = infer,
                          .grad = grad,
                          .decompose = decompose,
                          .reference = reference,
                          .cpu = cpu,
                          .samples = samples};

const OpDef layer_norm_grad_op{.name = "layer_norm_grad",
                               .doc = "dy, x, mean, rstd, gain -> dx",
                               .min_inputs = 5,
                               .max_inputs = 5,
                               .infer = infer_grad,
                               .decompose = decompose_grad,
                               .reference = reference_grad,
                               .cpu = cpu_grad,
                               .samples = [] { return samples_grad(true); },
                               .traits = {.in_place = true}};

const OpDef layer_norm_grad_params_op{.name = "layer_norm_grad_params",
                                      .doc = "dy, x, mean, rstd -> dgain[C], dbias[C]",
                                      .min_inputs = 4,
                                      .max_inputs = 4,
                                      .infer = infer_grad,
                                      .decompose = decompose_grad_params,
                                      .reference = reference_grad_params,
                                      .cpu = cpu_grad_params,
                                      .samples = [] { return samples_grad(false); }};

Tensor layer_norm(Tensor x, Tensor gain, Tensor bias, double eps) {
  return x.builder().emit1(layer_norm_op, {x, gain, bias}, {{"eps", eps}});
}

}  // namespace ringmaster::ops
