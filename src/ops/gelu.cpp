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

#include <array>
#include <cmath>
#include <numbers>
#include <type_traits>

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
// From |x| = 9.5 on s is 0 or 1 to f32; there |2u| < 77.
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

// The loops over n elements; the result may take an operand's memory.
struct Forward {
  template <typename T> void operator()(std::array<const T*, 1> in, T* y, int64_t n) const {
    backend::in_widest([=, x = in[0]] {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = store<T>(gelu_of(load(x[i])));
    });
  }
};
struct Backward {
  template <typename T> void operator()(std::array<const T*, 2> in, T* dx, int64_t n) const {
    backend::in_widest([=, dy = in[0], x = in[1]] {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) dx[i] = store<T>(gelu_grad_of(load(dy[i]), load(x[i])));
    });
  }
};

ir::TileFunction tile(const OpView&) {
  return [](const ir::Tile& t) { Forward()(std::array{t.in[0]}, t.out, t.count); };
}
ir::TileFunction tile_grad(const OpView&) {
  return [](const ir::Tile& t) { Backward()(std::array{t.in[0], t.in[1]}, t.out, t.count); };
}

// No compiler vectorises a loop that converts f16: tiles of it become f32 in the cache.
template <size_t Inputs, typename Loop>
void run_as_f32(std::array<const f16*, Inputs> in, f16* out, int64_t count, const Loop& loop) {
  constexpr int64_t most = 1024;  // two or three tiles fit L1
  alignas(64) float wide[Inputs + 1][most];
  std::array<const float*, Inputs> operands;
  for (int64_t at = 0; at < count; at += most) {
    const int64_t length = std::min(most, count - at);
    for (size_t k = 0; k < Inputs; ++k) {
      backend::copy_lanes(in[k] + at, wide[k], length);
      operands[k] = wide[k];
    }
    loop(operands, wide[Inputs], length);
    backend::copy_lanes(wide[Inputs], out + at, length);
  }
}

template <size_t Inputs, typename Loop> std::unique_ptr<ir::Kernel> kernel(const OpView& v, int threads, Loop loop) {
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=, n = v.in[0].shape.elements()](const ir::KernelArgs& a) {
      for_blocks(n, threads, [&](int64_t begin, int64_t count) {
        std::array<const T*, Inputs> in;
        for (size_t k = 0; k < Inputs; ++k) in[k] = a.input<T>(static_cast<int>(k)) + begin;
        if constexpr (std::is_same_v<T, f16>)
          run_as_f32(in, a.output<T>(0) + begin, count, loop);
        else
          loop(in, a.output<T>(0) + begin, count);
      });
    });
  });
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) { return kernel<1>(v, threads, Forward()); }
std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) { return kernel<2>(v, threads, Backward()); }

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
  // several tiles of f16
  list.push_back(
      {.in = std::vector<ir::Type>(inputs, {DType::f16, {3, 900}}), .fill = std::vector<ir::Fill>(inputs, middle)});
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
