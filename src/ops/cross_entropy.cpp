// SPDX-License-Identifier: Apache-2.0
// cross_entropy: loss_N = log sum_V exp(x_NV) - x_N[target_N], in nats.
// cross_entropy_grad: dx_NV = d_loss_N (p_NV - [v = target_N]),  p_NV = exp(x_NV - x_N[target_N] - loss_N)
//   in  x f32, bf16 or f16 [..,V]; targets i32[..] in [0, V): sources check them, the kernels trust them     out loss f32[..]
//   cross_entropy_grad: x, targets, loss, d_loss -> dx like x, over x where it dies
//   numerics: f32, 16 lanes, differences of logits only: a shift of all logits of a row costs no accuracy. That is also why the
//   gradient takes the loss and not the log-sum, whose own rounding would grow with the shift.
//   errors: config if x has no dim, targets are not i32[..] of x, or loss and d_loss are not f32 like targets.
#include "backend/cpu/vector_math.h"
#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>
#include <limits>

namespace ringmaster::ops {
namespace {

using backend::for_lanes;
using backend::Lanes;
using ir::OpView;
using ir::Type;

std::vector<Type> infer(const OpView& v) {
  const Type &x = v.in[0], &targets = v.in[1];
  require_float(x, "logits");
  const int rank = x.shape.rank();
  const bool fits = rank >= 1 && targets.dtype == DType::i32 &&
                    targets.shape == Shape(x.shape.dims().first(static_cast<size_t>(rank - 1)));
  if (!fits) {
    throw Error({.kind = ErrorKind::config,
                 .message = "logits are " + str(x) + ", targets are " + str(targets) +
                            "; targets are i32[..] of logits [..,V]"});
  }
  return {f32(targets.shape)};
}

std::vector<Type> infer_grad(const OpView& v) {
  const Type loss = infer(v).front();
  for (const size_t i : {size_t{2}, size_t{3}})
    if (!(v.in[i] == loss)) {
      throw Error({.kind = ErrorKind::config,
                   .message = fmt::format("{} is {}", i == 2 ? "loss" : "d_loss", str(v.in[i])),
                   .expected = str(loss)});
    }
  return {v.in[0]};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  return {v.in[0].builder().emit1(cross_entropy_grad_op, {v.in[0], v.in[1], v.out[0], v.d_out[0]}), {}};
}

Tensor wide(Tensor x) { return cast(x, DType::f32); }
Tensor column(Tensor x) {
  Shape shape = x.shape();
  shape.push_back(1);
  return reshape(x, shape);
}

std::vector<Tensor> decompose(const ir::Attrs&, std::span<const Tensor> in) {
  const std::vector<int64_t> last{in[0].shape().rank() - 1};
  const Tensor x = wide(in[0]), z = x - stop_gradient(max_last(x));
  return {log(sum(exp(z), last, false)) - sum(one_hot(in[1], x.dim(-1)) * z, last, false)};
}

std::vector<Tensor> decompose_grad(const ir::Attrs&, std::span<const Tensor> in) {
  const std::vector<int64_t> last{in[0].shape().rank() - 1};
  const Tensor x = wide(in[0]), hot = one_hot(in[1], x.dim(-1));
  const Tensor p = exp(x - sum(hot * x, last, true) - column(in[2]));
  const Tensor dx = (p - hot) * column(in[3]);
  return {cast(dx, in[0].dtype())};
}

size_t column_of(double target, size_t classes) {
  CHECK(target >= 0 && target < static_cast<double>(classes), "target {} of {} classes", target, classes);
  return static_cast<size_t>(target);
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const size_t classes = static_cast<size_t>(v.in[0].shape.dim(-1));
  for (size_t n = 0; n < in[1].data.size(); ++n) {
    const double* x = in[0].data.data() + n * classes;
    double top = x[0], total = 0.0;
    for (size_t j = 1; j < classes; ++j) top = std::max(top, x[j]);
    for (size_t j = 0; j < classes; ++j) total += std::exp(x[j] - top);
    out[0].data[n] = std::log(total) + top - x[column_of(in[1].data[n], classes)];
  }
}

void reference_grad(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  const size_t classes = static_cast<size_t>(v.in[0].shape.dim(-1));
  for (size_t n = 0; n < in[1].data.size(); ++n) {
    const double* x = in[0].data.data() + n * classes;
    const size_t target = column_of(in[1].data[n], classes);
    for (size_t j = 0; j < classes; ++j) {
      const double p = std::exp(x[j] - x[target] - in[2].data[n]);
      out[0].data[n * classes + j] = in[3].data[n] * (p - (j == target ? 1.0 : 0.0));
    }
  }
}

float widened(float x) { return x; }
template <typename T> float widened(T x) { return to_float(x); }

template <typename T> float loss_of_row(const T* x, int64_t classes, int32_t target) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  Lanes tops(lowest), total(0.0F);
  for_lanes(classes, [&](int64_t j, int64_t n) { tops = max(backend::load(x + j, n, lowest), tops); });
  const float top = max_of(tops);
  for_lanes(classes, [&](int64_t j, int64_t n) { total = total + exp(backend::load(x + j, n, lowest) - Lanes(top)); });
  return std::log(sum(total)) - (widened(x[target]) - top);
}

// dx may be x
template <typename T> void grad_of_row(const T* x, int64_t classes, int32_t target, float loss, float d_loss, T* dx) {
  const float at_target = widened(x[target]);
  const Lanes at(at_target), nats(loss), factor(d_loss);
  for_lanes(classes, [&](int64_t j, int64_t n) {
    backend::store(dx + j, exp(backend::load(x + j, n) - at - nats) * factor, n);
  });
  // p - 1 as an exact difference, not p d_loss - d_loss
  alignas(64) float one[Lanes::width];
  store(one, (exp(Lanes(-loss)) - Lanes(1.0F)) * factor);
  backend::store_tail(dx + target, backend::load(one), 1);
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const int64_t classes = v.in[0].shape.dim(-1), rows = v.in[1].shape.elements();
  threads = threads_for(rows * classes, threads);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      backend::parallel_for(threads, rows, [&](int64_t n) {
        a.output<float>(0)[n] = loss_of_row(a.input<T>(0) + n * classes, classes, a.input<int32_t>(1)[n]);
      });
    });
  });
}

std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) {
  const int64_t classes = v.in[0].shape.dim(-1), rows = v.in[1].shape.elements();
  threads = threads_for(rows * classes, threads);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      backend::parallel_for(threads, rows, [&](int64_t n) {
        grad_of_row(a.input<T>(0) + n * classes, classes, a.input<int32_t>(1)[n], a.input<float>(2)[n],
                    a.input<float>(3)[n], a.output<T>(0) + n * classes);
      });
    });
  });
}

std::vector<ir::Sample> samples_of(bool gradient) {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& x, ir::Fill logits, bool shipped) {
    const Shape rows(x.dims().first(static_cast<size_t>(x.rank() - 1)));
    const ir::Fill ids{.kind = ir::Fill::ids, .low = 0.0, .high = static_cast<double>(x.dim(-1))};
    list.push_back({.in = {f32(x), i32(rows)}, .fill = {logits, ids}, .shipped = shipped});
    if (gradient) {
      list.back().in.insert(list.back().in.end(), {f32(rows), f32(rows)});
      list.back().fill.push_back({.kind = ir::Fill::positive});
    }
  };
  for (const Shape& x : {Shape{1}, Shape{7}, Shape{3, 5, 7}, Shape{17, 33}, Shape{2, 64}, Shape{0, 4}})
    add(x, {}, false);
  list = [&] {
    std::vector<ir::Sample> all = with_16_bit(std::move(list));
    for (ir::Sample& s : all)
      for (size_t i = 2; i < s.in.size(); ++i) s.in[i].dtype = DType::f32;
    return all;
  }();
  add({4, 50}, {.kind = ir::Fill::uniform, .low = -20.0, .high = 20.0}, false);
  add({4, 50}, {.kind = ir::Fill::uniform, .low = 9990.0, .high = 10010.0}, false);
  for (const Shape& x : {Shape{4, 256, 50304}, Shape{4, 128, 256}, Shape{3, 64, 256}}) add(x, {}, true);
  return list;
}

}  // namespace

const OpDef cross_entropy_op{.name = "cross_entropy",
                             .doc = "logits [..,V], targets i32[..] -> log sum exp(logits) - logits[target], nats",
                             .min_inputs = 2,
                             .max_inputs = 2,
                             .infer = infer,
                             .grad = grad,
                             .decompose = decompose,
                             .reference = reference,
                             .cpu = cpu,
                             .samples = [] { return samples_of(false); },
                             .traits = {.cast = ir::CastClass::f32}};

const OpDef cross_entropy_grad_op{.name = "cross_entropy_grad",
                                  .doc = "logits, targets, loss, d_loss -> dlogits",
                                  .min_inputs = 4,
                                  .max_inputs = 4,
                                  .infer = infer_grad,
                                  .decompose = decompose_grad,
                                  .reference = reference_grad,
                                  .cpu = cpu_grad,
                                  .samples = [] { return samples_of(true); },
                                  .traits = {.cast = ir::CastClass::f32, .in_place = true}};

Tensor cross_entropy(Tensor logits, Tensor targets) {
  return logits.builder().emit1(cross_entropy_op, {logits, targets});
}

}  // namespace ringmaster::ops
