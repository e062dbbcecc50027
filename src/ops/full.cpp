// SPDX-License-Identifier: Apache-2.0
// full: a tensor whose elements all are `value`.
//   out y of `dtype` (f32, bf16, f16 or i32) and `shape`     attrs value, shape, dtype
//   numerics: the value is rounded to f32, then to the dtype. An i32 value must be an integer that fits.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"value", 0.0, true}, {"shape", ir::Ints{}, true}, {"dtype", std::string("f32")}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const auto dtype = dtype_from_name(v.attrs.text("dtype"));
  const double value = v.attrs.number("value");
  if (!dtype || (*dtype != DType::f32 && *dtype != DType::bf16 && *dtype != DType::f16 && *dtype != DType::i32)) {
    throw Error({.kind = ErrorKind::config,
                 .message = "dtype is `" + v.attrs.text("dtype") + "`",
                 .expected = "f32, bf16, f16 or i32"});
  }
  if (*dtype == DType::i32 && (std::trunc(value) != value || std::abs(value) > 0x7fffffff)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("value is {}, the dtype is i32", value),
                 .expected = "an integer below 2^31"});
  }
  return {{*dtype, Shape(v.attrs.ints("shape"))}};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor>, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  for (double& y : out[0].data) y = v.attrs.number("value");
}

template <typename T> std::unique_ptr<ir::Kernel> fill(T value, int64_t n, int threads) {
  return ir::make_kernel([=](const ir::KernelArgs& args) {
    T* y = args.output<T>(0);
    backend::parallel_simd(threads_for(n, threads), n, [&](int64_t i) { y[i] = value; });
  });
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const int64_t n = v.out[0].shape.elements();
  const double value = v.attrs.number("value");
  if (v.out[0].dtype == DType::i32) return fill(static_cast<int32_t>(value), n, threads);
  return with_float(v.out[0].dtype,
                    [&]<typename T>(T) { return fill(store<T>(static_cast<float>(value)), n, threads); });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (const char* dtype : {"f32", "bf16", "f16", "i32"})
    for (const ir::Ints& shape : {ir::Ints{}, ir::Ints{1}, ir::Ints{3, 5, 7}, ir::Ints{17, 33}, ir::Ints{0, 2}})
      list.push_back({.in = {}, .attrs = {{"value", -3.0}, {"shape", shape}, {"dtype", std::string(dtype)}}});
  list.push_back({.in = {}, .attrs = {{"value", 0.1}, {"shape", ir::Ints{4, 256, 768}}}, .shipped = true});
  return list;
}

}  // namespace

const OpDef full_op{.name = "full",
                    .doc = "a tensor whose elements all are `value`",
                    .attrs = attrs,
                    .infer = infer,
                    .reference = reference,
                    .cpu = cpu,
                    .samples = samples,
                    .traits = {.differentiable = false}};

Tensor full(ir::Builder& b, const ir::Type& type, double value) {
  const auto dims = type.shape.dims();
  return b.emit1(
      full_op, {},
      {{"value", value}, {"shape", ir::Ints(dims.begin(), dims.end())}, {"dtype", std::string(name(type.dtype))}});
}

}  // namespace ringmaster::ops
