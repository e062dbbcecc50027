// SPDX-License-Identifier: Apache-2.0
// cast: y = x in another dtype.     dx = dy in x's dtype; none through integers
//   in  x: f32, bf16, f16 or i32, any shape     out y of `dtype`, one of these
//   numerics: floats round to nearest even. To i32: towards zero, saturating, NaN is 0. The reference holds every float in f64,
//   so a cast between floats is the identity there and can be differentiated.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>
#include <limits>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"dtype", std::string("f32"), true}};

bool castable(DType dtype) { return is_kernel_float(dtype) || dtype == DType::i32; }

std::vector<ir::Type> infer(const ir::OpView& v) {
  const auto dtype = dtype_from_name(v.attrs.text("dtype"));
  if (!dtype || !castable(*dtype) || !castable(v.in[0].dtype)) {
    throw Error({.kind = ErrorKind::config,
                 .message = "x is " + str(v.in[0]) + ", the target is `" + v.attrs.text("dtype") + "`",
                 .expected = "f32, bf16, f16 or i32 on both sides"});
  }
  return {{*dtype, v.in[0].shape}};
}

std::vector<Tensor> grad(const ir::GradView& v) { return {cast(v.d_out[0], v.in[0].dtype())}; }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const double x = in[0].data[i];
    if (v.out[0].dtype != DType::i32) {
      out[0].data[i] = x;
    } else if (std::isnan(x)) {
      out[0].data[i] = 0;
    } else if (x <= std::numeric_limits<int32_t>::min()) {
      out[0].data[i] = std::numeric_limits<int32_t>::min();
    } else if (x >= std::numeric_limits<int32_t>::max()) {
      out[0].data[i] = std::numeric_limits<int32_t>::max();
    } else {
      out[0].data[i] = std::trunc(x);
    }
  }
}

// float to int32_t is undefined in C++ where the value does not fit
int32_t to_i32(float x) {
  if (x != x) return 0;
  if (x >= 0x1p31F) return std::numeric_limits<int32_t>::max();
  if (x <= -0x1p31F) return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(x);
}

template <typename To, typename From> To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, int32_t>) {
    return store<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, int32_t>) {
    return to_i32(load(x));
  } else {
    return store<To>(load(x));
  }
}

template <typename F> decltype(auto) with_castable(DType dtype, const F& f) {
  return dtype == DType::i32 ? f(int32_t{}) : with_float(dtype, f);
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  return with_castable(v.in[0].dtype, [&]<typename From>(From) {
    return with_castable(v.out[0].dtype, [&]<typename To>(To) {
      return ir::make_kernel([threads, n = v.in[0].shape.elements()](const ir::KernelArgs& args) {
        const From* x = args.input<From>(0);
        To* y = args.output<To>(0);
        backend::parallel_simd(threads_for(n, threads), n, [&](int64_t i) { y[i] = convert<To>(x[i]); });
      });
    });
  });
}

// A tile is f32 and its caller rounds: nothing is left to do.
ir::TileFunction tile(const ir::OpView&) {
  return [](const ir::Tile& t) {
    if (t.out != t.in[0]) std::copy_n(t.in[0], t.count, t.out);
  };
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const ir::Fill integers{.kind = ir::Fill::ids, .high = 100}, wide{.kind = ir::Fill::uniform, .low = -9, .high = 9};
  for (const DType to : {DType::f32, DType::bf16, DType::f16, DType::i32}) {
    for (const DType from : {DType::f32, DType::bf16, DType::f16, DType::i32}) {
      list.push_back({.in = {{from, {3, 5, 7}}},
                      .attrs = {{"dtype", std::string(name(to))}},
                      .fill = {from == DType::i32 ? integers : wide}});
    }
  }
  for (const Shape& shape : {Shape{}, Shape{17, 33}, Shape{0, 2}})
    list.push_back({.in = {f32(shape)}, .attrs = {{"dtype", std::string("bf16")}}});
  list.push_back({.in = {f32({4, 256, 768})}, .attrs = {{"dtype", std::string("bf16")}}, .shipped = true});
  return list;
}

}  // namespace

const OpDef cast_op{.name = "cast",
                    .doc = "x in another dtype",
                    .attrs = attrs,
                    .min_inputs = 1,
                    .max_inputs = 1,
                    .infer = infer,
                    .grad = grad,
                    .reference = reference,
                    .cpu = cpu,
                    .tile = tile,
                    .identity = identity_if_same_type,
                    .samples = samples,
                    .traits = {.converts = true, .by_parts = true, .in_place = true}};

Tensor cast(Tensor x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return x.builder().emit1(cast_op, {x}, {{"dtype", std::string(name(dtype))}});
}

}  // namespace ringmaster::ops
