// SPDX-License-Identifier: Apache-2.0
// softmax: y_C = exp(x_C - max x) / sum exp(x_C - max x), over the last dim C.
// softmax_at: each row is the row `position` of a causal softmax, to the bit, and has no gradient (a decoder's token).
// softmax_grad: dx_C = y_C (dy_C - sum y_C dy_C).
//   causal: x is [..,T,T] and row i sees only columns j <= i; y and dx are exactly 0 elsewhere, x is not read there
//   in  x: f32, bf16 or f16, rank >= 1 (softmax_grad: y, dy)     out like x
//   softmax_at: x is [..,C], position i32[] in [0, C): who sets the scalar checks it
//   numerics: f32 in the fixed 16-lane order, rounded once.   errors: config if causal and not square; if dy is not like y.
#include "backend/cpu/dnnl.h"
#include "backend/cpu/vector_math.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <omp.h>

#include <cmath>
#include <limits>
#include <type_traits>

namespace ringmaster::ops {
namespace {

using backend::for_lanes;
using backend::Lanes;
using ir::OpView;

const ir::AttrSpec attrs[] = {{"causal", false}};

bool is_causal(const OpView& v) { return v.attrs.find("causal") != nullptr && v.attrs.flag("causal"); }

void check(const OpView& v, const char* what) {
  const Shape& shape = v.in[0].shape;
  require_float(v.in[0], what);
  const bool causal = is_causal(v);
  const bool square = shape.rank() >= 2 && shape.dim(-1) == shape.dim(-2);
  if (shape.rank() < 1 || (causal && !square)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} is {}", what, str(v.in[0])),
                 .expected = causal ? "[..,T,T] for a causal softmax" : "one dim or more"});
  }
}

std::vector<ir::Type> infer(const OpView& v) {
  check(v, "x");
  return {v.in[0]};
}
std::vector<ir::Type> infer_grad(const OpView& v) {
  check(v, "y");
  if (!(v.in[0] == v.in[1])) {
    throw Error({.kind = ErrorKind::config,
                 .message = "y is " + str(v.in[0]) + ", dy is " + str(v.in[1]) + "; both must be alike"});
  }
  return {v.in[0]};
}

std::vector<ir::Type> infer_at(const OpView& v) {
  check(v, "x");
  if (!(v.in[1] == i32({}))) {
    throw Error({.kind = ErrorKind::config, .message = "position is " + str(v.in[1]), .expected = "i32[]"});
  }
  return {v.in[0]};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  return {v.in[0].builder().emit1(softmax_grad_op, {v.out[0], v.d_out[0]}, v.attrs)};
}

// [..,T,T] of ones where j <= i and zeros elsewhere, like y: the softmax of zeros over its own first column.
Tensor causal_mask(Tensor y) {
  const Tensor even = softmax(scale(stop_gradient(y), 0.0), true);
  const int64_t columns = y.dim(-1);
  return columns == 1 ? even / even : even / split(even, y.shape().rank() - 1, {1, columns - 1})[0];
}

// The gradient by dy is the same map; that by y is d (dy - sum y dy) - dy sum y d where y is visible.
std::vector<Tensor> grad_grad(const ir::GradView& v) {
  const Tensor d = v.d_out[0], dy = v.in[1];
  std::vector<Tensor> out(2);
  if (v.needed[1]) out[1] = v.in[0].builder().emit1(softmax_grad_op, {v.in[0], d}, v.attrs);
  if (!v.needed[0]) return out;
  const bool causal = v.attrs.flag("causal");
  const Tensor mask = causal ? causal_mask(v.in[0]) : Tensor();
  const Tensor y = causal ? v.in[0] * mask : v.in[0];
  const std::vector<int64_t> last{y.shape().rank() - 1};
  const Tensor d_y = d * (dy - sum(y * dy, last, true)) - dy * sum(y * d, last, true);
  out[0] = causal ? d_y * mask : d_y;
  return out;
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const bool causal = is_causal(v), at = v.in.size() == 2;
  const size_t c = static_cast<size_t>(v.in[0].shape.dim(-1));
  for (size_t begin = 0; begin < in[0].data.size(); begin += c) {
    const size_t n = at ? static_cast<size_t>(in[1].data[0]) + 1 : causal ? begin / c % c + 1 : c;
    double top = -std::numeric_limits<double>::infinity(), total = 0.0;
    for (size_t j = 0; j < n; ++j) top = std::max(top, in[0].data[begin + j]);
    for (size_t j = 0; j < n; ++j) total += std::exp(in[0].data[begin + j] - top);
    for (size_t j = 0; j < n; ++j) out[0].data[begin + j] = std::exp(in[0].data[begin + j] - top) / total;
  }
}

void reference_grad(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  const bool causal = v.attrs.flag("causal");
  const size_t c = static_cast<size_t>(v.in[0].shape.dim(-1));
  for (size_t begin = 0; begin < in[0].data.size(); begin += c) {
    const size_t n = causal ? begin / c % c + 1 : c;
    double dot = 0.0;
    for (size_t j = begin; j < begin + n; ++j) dot += in[0].data[j] * in[1].data[j];
    for (size_t j = begin; j < begin + n; ++j) out[0].data[j] = in[0].data[j] * (in[1].data[j] - dot);
  }
}

// How many columns each row sees.
struct Visible {
  explicit Visible(const OpView& v)
      : columns(v.in[0].shape.dim(-1)),
        causal(is_causal(v)),
        rows(columns == 0 ? 0 : v.in[0].shape.elements() / columns) {}
  int64_t in_row(int64_t row) const { return causal ? row % columns + 1 : columns; }
  int64_t columns;
  bool causal;
  int64_t rows;
};

// The visible part of one row; y may be x. e[n] holds the exponentials, and is y itself where y is f32.
template <typename T> void softmax_row(const T* x, T* y, float* e, int64_t n) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  Lanes top(lowest);
  for_lanes(n, [&](int64_t i, int64_t count) { top = max(backend::load(x + i, count, lowest), top); });
  const Lanes shift(max_of(top));
  Lanes total(0.0F);
  for_lanes(n, [&](int64_t i, int64_t count) {
    const Lanes v = exp(backend::load(x + i, count, lowest) - shift);
    total = total + v;
    backend::store(e + i, v, count);
  });
  const Lanes factor(1.0F / sum(total));
  for_lanes(n, [&](int64_t i, int64_t count) { backend::store(y + i, backend::load(e + i, count) * factor, count); });
}

template <typename T> void softmax_grad_row(const T* y, const T* dy, T* dx, int64_t n) {
  Lanes total(0.0F);
  for_lanes(n, [&](int64_t i, int64_t count) {
    total = fma(backend::load(y + i, count), backend::load(dy + i, count), total);
  });
  const Lanes dot(sum(total));
  for_lanes(n, [&](int64_t i, int64_t count) {
    backend::store(dx + i, backend::load(y + i, count) * (backend::load(dy + i, count) - dot), count);
  });
}

// Our own rows, of which `seen(args, row)` columns are visible.
template <typename Seen> std::unique_ptr<ir::Kernel> rows_kernel(const OpView& v, int threads, Seen seen) {
  const int64_t c = v.in[0].shape.dim(-1), rows = c == 0 ? 0 : v.in[0].shape.elements() / c;
  threads = threads_for(v.in[0].shape.elements(), threads);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    constexpr bool wide = std::is_same_v<T, float>;
    return ir::make_kernel(
        [=](const ir::KernelArgs& a) {
          backend::parallel_for(threads, rows, [&](int64_t row) {
            const int64_t n = seen(a, row);
            T* y = a.output<T>(0) + row * c;
            float* e = wide ? reinterpret_cast<float*>(y) : static_cast<float*>(a.scratch) + omp_get_thread_num() * c;
            softmax_row(a.input<T>(0) + row * c, y, e, n);
            std::fill(y + n, y + c, T{});
          });
        },
        wide ? 0 : threads * c * 4);
  });
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const Visible visible(v);
  if (!visible.causal) {
    auto rows = std::make_unique<backend::Rows>(
        backend::RowsSpec{
            .kind = backend::RowsSpec::softmax, .rows = visible.rows, .width = visible.columns, .dtype = v.in[0].dtype},
        threads);
    const int64_t scratch = rows->scratch_bytes();
    return ir::make_kernel(
        [rows = std::move(rows)](const ir::KernelArgs& a) { rows->run({a.in[0]}, {a.out[0]}, a.scratch); }, scratch);
  }
  return rows_kernel(v, threads, [visible](const ir::KernelArgs&, int64_t row) { return visible.in_row(row); });
}

std::unique_ptr<ir::Kernel> cpu_at(const OpView& v, int threads) {
  return rows_kernel(v, threads, [](const ir::KernelArgs& a, int64_t) { return int64_t{*a.input<int32_t>(1)} + 1; });
}

std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) {
  const Visible visible(v);
  threads = threads_for(v.in[0].shape.elements(), threads);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      backend::parallel_for(threads, visible.rows, [&](int64_t row) {
        const int64_t n = visible.in_row(row), begin = row * visible.columns;
        T* dx = a.output<T>(0) + begin;
        softmax_grad_row(a.input<T>(0) + begin, a.input<T>(1) + begin, dx, n);
        std::fill(dx + n, dx + visible.columns, T{});
      });
    });
  });
}

std::vector<ir::Sample> samples_of(size_t inputs) {
  const ir::Attrs causal{{"causal", true}};
  std::vector<ir::Sample> list;
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{3, 5, 7}, Shape{17, 33}, Shape{4, 16}, Shape{0, 4}})
    list.push_back({.in = std::vector<ir::Type>(inputs, f32(shape))});
  for (const Shape& shape : {Shape{1, 1}, Shape{2, 3, 3}, Shape{17, 17}, Shape{2, 1, 33, 33}})
    list.push_back({.in = std::vector<ir::Type>(inputs, f32(shape)), .attrs = causal});
  for (const Shape& shape : {Shape{4, 12, 256, 256}, Shape{4, 6, 128, 128}, Shape{3, 4, 64, 64}})
    for (const ir::Attrs& with : {causal, ir::Attrs{}})
      list.push_back({.in = std::vector<ir::Type>(inputs, f32(shape)), .attrs = with, .shipped = true});
  list = with_16_bit(std::move(list));
  if (inputs > 1) return list;
  const ir::Fill large{.kind = ir::Fill::uniform, .low = 990.0, .high = 1010.0};  // beyond what exp takes
  for (const ir::Attrs& with : {causal, ir::Attrs{}})
    list.push_back({.in = {f32({2, 17, 17})}, .attrs = with, .fill = {large}});
  return list;
}

std::vector<ir::Sample> samples_at() {
  std::vector<ir::Sample> list;
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{3, 5, 7}, Shape{17, 33}, Shape{4, 16}, Shape{0, 4},
                             Shape{1, 4, 1, 64}, Shape{1, 12, 1, 256}}) {
    const ir::Fill position{.kind = ir::Fill::ids, .low = 0.0, .high = static_cast<double>(shape.dim(-1))};
    list.push_back({.in = {f32(shape), i32({})}, .fill = {{}, position}, .shipped = shape.rank() == 4});
  }
  return with_16_bit(std::move(list));
}

}  // namespace

const OpDef softmax_op{.name = "softmax",
                       .doc = "exp(x) / sum exp(x) over the last dim; causal: over j <= i of [..,T,T]",
                       .attrs = attrs,
                       .min_inputs = 1,
                       .max_inputs = 1,
                       .infer = infer,
                       .grad = grad,
                       .reference = reference,
                       .cpu = cpu,
                       .samples = [] { return samples_of(1); },
                       .traits = {.cast = ir::CastClass::f32, .in_place = true}};

const OpDef softmax_at_op{
    .name = "softmax_at",
    .doc = "x [..,C], position i32[]: exp(x) / sum exp(x) over columns up to position, 0 behind it",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_at,
    .reference = reference,
    .cpu = cpu_at,
    .samples = samples_at,
    .traits = {.cast = ir::CastClass::f32, .in_place = true, .differentiable = false}};

const OpDef softmax_grad_op{.name = "softmax_grad",
                            .doc = "y, dy -> dx = y (dy - sum y dy) over the last dim",
                            .attrs = attrs,
                            .min_inputs = 2,
                            .max_inputs = 2,
                            .infer = infer_grad,
                            .grad = grad_grad,
                            .reference = reference_grad,
                            .cpu = cpu_grad,
                            .samples = [] { return samples_of(2); },
                            .traits = {.cast = ir::CastClass::f32, .in_place = true}};

Tensor softmax(Tensor x, bool causal) { return x.builder().emit1(softmax_op, {x}, {{"causal", causal}}); }
Tensor softmax_at(Tensor x, Tensor position) { return x.builder().emit1(softmax_at_op, {x, position}); }

}  // namespace ringmaster::ops
