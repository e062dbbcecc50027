// SPDX-License-Identifier: Apache-2.0
// gelu: y = x/2 (1 + t), t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3).     Hendrycks and Gimpel 2016, arXiv:1606.08415
//   gelu_grad: dx = dy ((1 + t)/2 + x/2 (1 - t^2) sqrt(2/pi) (1 + 3 * 0.044715 x^2))
//   in  x: f32, bf16 or f16, any shape (gelu_grad: dy, x)     out like x
//   numerics: in f32, the same bits on every ISA, rounded once.   errors: config if dy is not like x.
#include "backend/cpu/vector_math.h"
#include "backend/cpu/wide.h"
#include "ops/blocks.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>
#include <numbers>

namespace ringmaster::ops {
namespace {

using ir::OpView;

constexpr double root = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double cubic = 0.044715;

std::vector<ir::Type> infer(const OpView& v) {
  require_float(v.in[0], "x");
  return {v.in[0]};
}
std::vector<ir::Type> infer_grad(const OpView& v) {
  require_float(v.in[1], "x");
  if (!(v.in[0] == v.in[1])) {
    throw Error({.kind = ErrorKind::config,
                 .message = "dy is " + str(v.in[0]) + ", x is " + str(v.in[1]) + "; both must be alike"});
  }
  return {v.in[1]};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  return {v.in[0].builder().emit1(gelu_grad_op, {v.d_out[0], v.in[0]})};
}

Tensor inner(Tensor x) { return tanh(root * (x + cubic * (x * square(x)))); }

std::vector<Tensor> decompose(const ir::Attrs&, std::span<const Tensor> in) {
  const Tensor x = in[0];
  return {0.5 * (x * (inner(x) + 1.0))};
}

std::vector<Tensor> decompose_grad(const ir::Attrs&, std::span<const Tensor> in) {
  const Tensor dy = in[0], x = in[1], t = inner(x);
  const Tensor du = root * ((3.0 * cubic) * square(x) + 1.0);
  return {dy * (0.5 * (t + 1.0) + 0.5 * (x * ((-1.0 * square(t) + 1.0) * du)))};
}

// With constants of their own: a reference shares nothing with the kernel.
double tanh_of_u(double x) { return std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)); }

void reference(const OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out, const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const double x = in[0].data[i];
    out[0].data[i] = 0.5 * x * (1.0 + tanh_of_u(x));
  }
}

void reference_grad(const OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const double x = in[1].data[i], t = tanh_of_u(x),
                 slope = std::sqrt(2.0 / std::numbers::pi) * (1.0 + 0.134145 * x * x);
    out[0].data[i] = in[0].data[i] * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope);
  }
}

// (1 + t)/2 is the logistic function s of 2u, so that one exponential serves both directions: y = x s, dy/dx = s + x s (1 - s) 2u'.
// From |x| = 9.5 on s is 0 or 1 to f32.
struct Logistic {
  float x, square, s, rest;  // rest = 1 - s, without cancellation

  explicit Logistic(float unbounded) : x(bounded(unbounded)), square(x * x) {
    const float e = backend::exp_of(x * __builtin_fmaf(square, cube, line));
    s = 1.0F / (1.0F + e);
    rest = e * s;
  }
  static float bounded(float y) {  // NaN stays
    y = -9.5F > y ? -9.5F : y;
    return 9.5F < y ? 9.5F : y;
  }
  static constexpr auto cube = static_cast<float>(-2.0 * root * cubic), line = static_cast<float>(-2.0 * root);
};

float gelu_of(float x) { return (-9.5F > x ? -9.5F : x) * Logistic(x).s; }
float gelu_grad_of(float dy, float x) {
  constexpr auto cube = static_cast<float>(6.0 * root * cubic), line = static_cast<float>(2.0 * root);
  const Logistic l(x);
  return dy * __builtin_fmaf(l.x * __builtin_fmaf(l.square, cube, line), l.s * l.rest, l.s);
}

ir::TileFunction tile(const OpView&) {
  return [](const ir::Tile& t) {
    backend::in_widest([&] {
#pragma omp simd
      for (int64_t i = 0; i < t.count; ++i) t.out[i] = gelu_of(t.in[0][i]);
    });
  };
}

ir::TileFunction tile_grad(const OpView&) {
  return [](const ir::Tile& t) {
    backend::in_widest([&] {
#pragma omp simd
      for (int64_t i = 0; i < t.count; ++i) t.out[i] = gelu_grad_of(t.in[0][i], t.in[1][i]);
    });
  };
}

// The tile function over all elements, as f32 in the cache.
template <int Inputs, typename T>
void run_tiles(const ir::KernelArgs& a, const ir::TileFunction& f, int64_t n, int threads) {
  for_blocks(n, threads, [&](int64_t begin, int64_t count) {
    constexpr int64_t most = 1024;  // two or three tiles fit L1
    alignas(64) float in[Inputs][most], out[most];
    const float* operands[Inputs];
    for (int k = 0; k < Inputs; ++k) operands[k] = in[k];
    for (int64_t at = begin; at < begin + count; at += most) {
      const int64_t length = std::min(most, begin + count - at);
      for (int k = 0; k < Inputs; ++k) backend::copy_lanes(a.input<T>(k) + at, in[k], length);
      f({operands, out, at, length, a.context});
      backend::copy_lanes(out, a.output<T>(0) + at, length);
    }
  });
}

template <int Inputs> std::unique_ptr<ir::Kernel> kernel(const OpView& v, int threads, ir::TileFunction f) {
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel(
        [=, n = v.in[0].shape.elements()](const ir::KernelArgs& a) { run_tiles<Inputs, T>(a, f, n, threads); });
  });
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) { return kernel<1>(v, threads, tile(v)); }
std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) { return kernel<2>(v, threads, tile_grad(v)); }

std::vector<ir::Sample> samples_of(size_t inputs) {
  std::vector<ir::Sample> list;
  const ir::Fill wide{.kind = ir::Fill::uniform, .low = -8.0, .high = 8.0};
  const ir::Fill middle{.kind = ir::Fill::uniform, .low = -3.0, .high = 3.0};
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 5, 7}, Shape{17, 33}, Shape{0, 4}})
    list.push_back({.in = std::vector<ir::Type>(inputs, f32(shape)), .fill = std::vector<ir::Fill>(inputs, middle)});
  for (const Shape& shape : {Shape{4, 256, 3072}, Shape{4, 128, 768}, Shape{3, 64, 512}})
    list.push_back({.in = std::vector<ir::Type>(inputs, f32(shape)), .shipped = true});
  list = with_16_bit(std::move(list));
  // the tails, where gelu is nearly 0 or nearly x: too small for the relative limit of single 16-bit elements
  list.push_back({.in = std::vector<ir::Type>(inputs, f32({33, 17})), .fill = std::vector<ir::Fill>(inputs, wide)});
  return list;
}

}  // namespace

const OpDef gelu_op{.name = "gelu",
                    .doc = "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer,
                    .grad = grad,
                    .decompose = decompose,
                    .reference = reference,
                    .cpu = cpu,
                    .tile = tile,
                    .samples = [] { return samples_of(1); },
                    .traits = {.in_place = true}};

const OpDef gelu_grad_op{.name = "gelu_grad",
                         .doc = "dy, x -> dx of gelu",
                         .min_inputs = 2,
                         .max_inputs = 2,
                         .infer = infer_grad,
                         .decompose = decompose_grad,
                         .reference = reference_grad,
                         .cpu = cpu_grad,
                         .tile = tile_grad,
                         .samples = [] { return samples_of(2); },
                         .traits = {.in_place = true}};

Tensor gelu(Tensor x) { return x.builder().emit1(gelu_op, {x}); }

}  // namespace ringmaster::ops
