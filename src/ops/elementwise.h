// SPDX-License-Identifier: Apache-2.0
// elementwise: what unary and binary ops share: types, kernels, references. An op gives its formula twice, once in f32 for the
// kernel and its tiles, once in f64 for the reference. The formulas are template arguments, so that the loops vectorise around them.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/wide.h"
#include "ops/element.h"
#include "ops/reference.h"
#include "ops/samples.h"
#include "ops/walk.h"

namespace ringmaster::ops {

// ---- unary: y = f(x), any shape, f32, bf16 or f16
inline std::vector<ir::Type> infer_unary(const ir::OpView& v) {
  require_float(v.in[0], "x");
  return {v.in[0]};
}

// y may be x: the loop carries nothing from one element to the next.
template <typename F> std::unique_ptr<ir::Kernel> unary_kernel(const ir::OpView& v, int threads, F f) {
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=, n = v.in[0].shape.elements()](const ir::KernelArgs& args) {
      const T* x = args.input<T>(0);
      T* y = args.output<T>(0);
      backend::parallel_simd(threads_for(n, threads), n, [&](int64_t i) { y[i] = store<T>(f(load(x[i]))); });
    });
  });
}

template <auto F> std::unique_ptr<ir::Kernel> unary_cpu(const ir::OpView& v, int threads) {
  return unary_kernel(v, threads, F);
}

// The formula on tiles of a chain.
template <typename F> ir::TileFunction unary_tile_of(F f) {
  return [f](const ir::Tile& t) {
    backend::in_widest([&] {
      const float* x = t.in[0];
#pragma omp simd
      for (int64_t i = 0; i < t.count; ++i) t.out[i] = f(x[i]);
    });
  };
}

template <auto F> ir::TileFunction unary_tile(const ir::OpView&) { return unary_tile_of(F); }

template <auto F>
void unary_reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                     const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = F(in[0].data[i]);
}

inline std::vector<ir::Sample> unary_samples(const ir::Attrs& attrs = {}, const ir::Fill& fill = {}) {
  std::vector<ir::Sample> samples;
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 5, 7}, Shape{17, 33}, Shape{0, 4}})
    samples.push_back({.in = {f32(shape)}, .attrs = attrs, .fill = {fill}});
  samples.push_back({.in = {f32({4, 256, 768})}, .attrs = attrs, .fill = {fill}, .shipped = true});
  return with_16_bit(std::move(samples));
}

// ---- binary: y = f(a, b), shapes broadcast as in NumPy, one dtype
inline std::vector<ir::Type> infer_binary(const ir::OpView& v) {
  const ir::Type &a = v.in[0], &b = v.in[1];
  require_float(a, "a");
  if (a.dtype != b.dtype) {
    throw Error({.kind = ErrorKind::config,
                 .message = "a is " + str(a) + ", b is " + str(b) + "; the dtypes differ",
                 .cure = "cast one of them"});
  }
  return {{a.dtype, broadcast(a.shape, b.shape)}};
}

// One piece of a row; a stride is 1, or 0 for an operand that is constant along it. y may be a.
template <auto F, typename T>
void binary_row(const T* a, int64_t stride_a, const T* b, int64_t stride_b, T* y, int64_t n) {
  if (stride_b == 0) {
    const float right = load(*b);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = store<T>(F(load(a[i]), right));
  } else if (stride_a == 0) {
    const float left = load(*a);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = store<T>(F(left, load(b[i])));
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = store<T>(F(load(a[i]), load(b[i])));
  }
}

template <auto F> std::unique_ptr<ir::Kernel> binary_cpu(const ir::OpView& v, int threads) {
  const Walk<2> walk = walk_broadcast<2>(v.out[0].shape, {v.in[0].shape, v.in[1].shape});
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& args) {
      const T *a = args.input<T>(0), *b = args.input<T>(1);
      T* y = args.output<T>(0);
      for_rows(walk, threads, [&](const std::array<int64_t, 2>& at, int64_t to, int64_t n) {
        binary_row<F>(a + at[0], walk.inner_stride(0), b + at[1], walk.inner_stride(1), y + to, n);
      });
    });
  });
}

template <auto F> ir::TileFunction binary_tile(const ir::OpView&) {
  return [](const ir::Tile& t) {
    backend::in_widest([&] { binary_row<F, float>(t.in[0], 1, t.in[1], 1, t.out, t.count); });
  };
}

template <auto F>
void binary_reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                      const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const auto index = unravel(v.out[0].shape, static_cast<int64_t>(i));
    out[0].data[i] =
        F(in[0].data[ravel_broadcast(v.in[0].shape, index)], in[1].data[ravel_broadcast(v.in[1].shape, index)]);
  }
}

inline std::vector<ir::Sample> binary_samples(const ir::Fill& fill_b = {}) {
  struct Pair {
    Shape a, b;
  };
  const Pair pairs[] = {{{}, {}},        {{1}, {1}},   {{3, 5, 7}, {3, 5, 7}}, {{17, 33}, {33}},    {{33}, {17, 33}},
                        {{3, 5, 7}, {}}, {{}, {2, 3}}, {{4, 1, 3}, {1, 5, 1}}, {{2, 3, 1}, {3, 4}}, {{0, 3}, {3}}};
  std::vector<ir::Sample> samples;
  for (const Pair& p : pairs) samples.push_back({.in = {f32(p.a), f32(p.b)}, .fill = {{}, fill_b}});
  const Pair shipped[] = {
      {{4, 256, 768}, {4, 256, 768}}, {{4, 256, 3072}, {3072}}, {{3, 64, 128}, {64, 128}}, {{4, 256}, {}}};
  for (const Pair& p : shipped) samples.push_back({.in = {f32(p.a), f32(p.b)}, .fill = {{}, fill_b}, .shipped = true});
  return with_16_bit(std::move(samples));
}

}  // namespace ringmaster::ops
