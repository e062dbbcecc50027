// SPDX-License-Identifier: Apache-2.0
// layer_norm_grad: the gradient of layer_norm.cpp by x, and by gain and bias.     N rows, C channels
//   layer_norm_grad: dx_NC = rstd_N (g_NC - (sum_C g + z_NC sum_C g z) / C), g = dy gain, z = (x - mean) rstd
//   layer_norm_grad_params: dgain_C = sum_N dy z, dbias_C = sum_N dy
//   in  dy, x f32, bf16 or f16; mean, rstd f32[N dims]; gain f32[C]     out dx like x; dgain, dbias f32[C]
//   with a sixth input, like x, layer_norm_grad gives dx plus that: what else reaches x, as the residual stream does. With `narrow`
//   it gives its result once more in 16 bits, where x is f32.
//   numerics: f32; dx is rounded before it is added to; sums over N by blocks of 32 rows, added in block order.
//   errors: config if the inputs do not belong together.
#include "backend/cpu/lanes.h"
#include "ops/defs.h"
#include "ops/layer_norm.h"
#include "ops/narrow.h"

namespace ringmaster::ops {
namespace {

using backend::for_lanes;
using backend::Lanes;
using ir::OpView;
using ir::Type;

const ir::AttrSpec attrs[] = {narrow_attr};
constexpr int64_t block_rows = 32;

// dy, x, mean, rstd; for dx also gain, and perhaps what is added to it
std::vector<Type> infer_grad(const OpView& v) {
  require_rows(v.in[1]);
  const Type vector = f32({v.in[1].shape.dim(-1)}), statistic = f32(leading(v.in[1].shape));
  require_type(v, 0, "dy", v.in[1]);
  require_type(v, 2, "mean", statistic);
  require_type(v, 3, "rstd", statistic);
  if (v.in.size() == 4) return {vector, vector};
  require_type(v, 4, "gain", vector);
  if (v.in.size() == 6) require_type(v, 5, "what is added", v.in[1]);
  std::vector<Type> out{v.in[1]};
  if (const auto narrow = narrow_of(v.attrs)) out.push_back(narrowed(v.in[1], *narrow));
  return out;
}

std::vector<Tensor> decompose_grad(const ir::Attrs& a, std::span<const Tensor> in) {
  const Tensor g = wide(in[0]) * in[4], z = (wide(in[1]) - keep(in[2])) * keep(in[3]);
  const std::vector<int64_t> last{g.shape().rank() - 1};
  const double share = 1.0 / static_cast<double>(g.dim(-1));
  Tensor dx = like(keep(in[3]) * (g - share * (sum(g, last, true) + z * sum(g * z, last, true))), in[1]);
  if (in.size() == 6) dx = dx + in[5];
  std::vector<Tensor> out{dx};
  if (const auto narrow = narrow_of(a)) out.push_back(cast(dx, *narrow));
  return out;
}

std::vector<Tensor> decompose_grad_params(const ir::Attrs&, std::span<const Tensor> in) {
  const Tensor dy = wide(in[0]), z = (wide(in[1]) - keep(in[2])) * keep(in[3]);
  const Shape vector{dy.dim(-1)};
  return {sum_to(dy * z, vector), sum_to(dy, vector)};
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
      const double added = in.size() == 6 ? in[5].data[n * c + j] : 0.0;
      out[0].data[n * c + j] = rstd * (g - (sum_g + z * sum_gz) / static_cast<double>(c)) + added;
    }
  }
  if (out.size() == 2) out[1].data = out[0].data;
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
  const bool adds = v.in.size() == 6;
  const auto narrow = narrow_of(v.attrs);
  threads = threads_for(rows * c, threads);
  return with_float(v.in[1].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      const float *mean = a.input<float>(2), *rstd = a.input<float>(3), *gain = a.input<float>(4);
      backend::parallel_for(threads, rows, [&](int64_t n) {
        T* dx = a.output<T>(0) + n * c;
        grad_row(a.input<T>(0) + n * c, a.input<T>(1) + n * c, gain, mean[n], rstd[n], dx, c);
        if (adds) backend::add_lanes(dx, a.input<T>(5) + n * c, dx, c);  // the row is in L1
        copy_narrow(a, narrow, 1, n * c, c);
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

enum class Form { params, dx, dx_plus };

std::vector<ir::Sample> samples_grad(std::initializer_list<Form> forms) {
  std::vector<ir::Sample> list;
  const auto add = [&](Form form, const Shape& x, bool shipped, const ir::Attrs& a = {}) {
    const ir::Fill positive{.kind = ir::Fill::positive};
    list.push_back({.in = {f32(x), f32(x), f32(leading(x)), f32(leading(x))},
                    .attrs = a,
                    .fill = {{}, {}, {}, positive},
                    .shipped = shipped});
    if (form != Form::params) list.back().in.push_back(f32({x.dim(-1)}));
    if (form == Form::dx_plus) list.back().in.push_back(f32(x));
  };
  for (const Form form : forms) {
    for (const Shape& x : norm_shapes) add(form, x, false);
    for (const Shape& x : shipped_norm_shapes) add(form, x, true);
    if (form == Form::params) continue;
    add(form, {17, 33}, false, {{"narrow", std::string("bf16")}});
    add(form, {3, 5, 7}, false, {{"narrow", std::string("f16")}});
    add(form, {4, 256, 768}, true, {{"narrow", std::string("bf16")}});
  }
  return with_16_bit_rows(std::move(list), {0, 1, 5});
}

}  // namespace

const OpDef layer_norm_grad_op{.name = "layer_norm_grad",
                               .doc = "dy, x, mean, rstd, gain (, residual to add) -> dx",
                               .attrs = attrs,
                               .min_inputs = 5,
                               .max_inputs = 6,
                               .infer = infer_grad,
                               .decompose = decompose_grad,
                               .reference = reference_grad,
                               .cpu = cpu_grad,
                               .samples =
                                   [] {
                                     return samples_grad({Form::dx, Form::dx_plus});
                                   },
                               .traits = {.adds_behind = true, .narrow_copy = true, .in_place = true}};

const OpDef layer_norm_grad_params_op{.name = "layer_norm_grad_params",
                                      .doc = "dy, x, mean, rstd -> dgain[C], dbias[C]",
                                      .min_inputs = 4,
                                      .max_inputs = 4,
                                      .infer = infer_grad,
                                      .decompose = decompose_grad_params,
                                      .reference = reference_grad_params,
                                      .cpu = cpu_grad_params,
                                      .samples = [] { return samples_grad({Form::params}); }};

}  // namespace ringmaster::ops
