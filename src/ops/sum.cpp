// SPDX-License-Identifier: Apache-2.0
// sum: adds x over one run of adjacent dims.     dx = dy broadcast back
//   in  x: f32, bf16 or f16, seen as [K, R, J]: R the dims that go, K and J those before and after     out y [K, J] like x, or f32
//   attrs dims (ascending, adjacent), keep_dims, f32_out. The C++ callers take any dims and chain runs.
//   numerics: f32 throughout, rounded once. R is cut into blocks, a pure function of the shape; a block is summed in 16 lanes
//   (J = 1) or row by row (J > 1), and the partials are added in block order. Threads only share out (k, block, columns).
#include "backend/cpu/lanes.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/reference.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {
    {"dims", ir::Ints{}, true}, {"keep_dims", false}, {"f32_out", false, false, "y is f32: the sums as they are"}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const ir::Type& x = v.in[0];
  const ir::Ints& dims = v.attrs.ints("dims");
  require_float(x, "x");
  bool run = !dims.empty() && dims.front() >= 0 && dims.back() < x.shape.rank();
  for (size_t i = 1; i < dims.size(); ++i) run = run && dims[i] == dims[i - 1] + 1;
  if (!run) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {}, dims is [{}]", str(x), fmt::join(dims, ",")),
                 .expected = "ascending adjacent dims of x"});
  }
  Shape out;
  for (int d = 0; d < x.shape.rank(); ++d) {
    if (d < dims.front() || d > dims.back()) {
      out.push_back(x.shape[d]);
    } else if (v.attrs.flag("keep_dims")) {
      out.push_back(1);
    }
  }
  return {{v.attrs.flag("f32_out") ? DType::f32 : x.dtype, out}};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  Shape kept = v.in[0].shape();
  for (const int64_t d : v.attrs.ints("dims")) kept.set(static_cast<int>(d), 1);
  return {cast(broadcast_to(reshape(v.d_out[0], kept), v.in[0].shape()), v.in[0].dtype())};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  Shape kept = v.in[0].shape;
  for (const int64_t d : v.attrs.ints("dims")) kept.set(static_cast<int>(d), 1);
  for (size_t i = 0; i < in[0].data.size(); ++i)
    out[0].data[ravel_broadcast(kept, unravel(v.in[0].shape, static_cast<int64_t>(i)))] += in[0].data[i];
}

struct Plan {
  int64_t outer = 1, reduced = 1, inner = 1;  // K, R, J
  int64_t block = 1, blocks = 1;              // rows of R in a block
  int64_t elements() const { return outer * reduced * inner; }
  int64_t scratch_bytes() const { return blocks == 1 ? 0 : outer * blocks * inner * 4; }
};

Plan plan_of(const ir::OpView& v) {
  const ir::Ints& dims = v.attrs.ints("dims");
  Plan p;
  for (int d = 0; d < v.in[0].shape.rank(); ++d)
    (d < dims.front() ? p.outer : d > dims.back() ? p.inner : p.reduced) *= v.in[0].shape[d];
  // with the square root, neither the sum within a block nor the sum over blocks grows long
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(p.reduced)));
  p.block = p.inner == 1 ? 4096 : std::max<int64_t>(64, root);
  p.blocks = std::max<int64_t>(1, (p.reduced + p.block - 1) / p.block);
  return p;
}

// J = 1: rows that lie together
template <typename T, typename Y> void sum_rows(const Plan& p, const T* x, Y* y, float* partials, int threads) {
  backend::parallel_for(threads_for(p.elements(), threads), p.outer * p.blocks, [&](int64_t task) {
    const int64_t k = task / p.blocks, begin = task % p.blocks * p.block;
    const T* from = x + k * p.reduced + begin;
    const float sum = sum_lanes(std::min(p.block, p.reduced - begin), [&](int64_t i) { return load(from[i]); });
    if (p.blocks == 1) {
      y[k] = store<Y>(sum);
    } else {
      partials[task] = sum;
    }
  });
  if (p.blocks == 1) return;
  for (int64_t k = 0; k < p.outer; ++k)
    y[k] = store<Y>(sum_lanes(p.blocks, [&](int64_t i) { return partials[k * p.blocks + i]; }));
}

// acc[j] = (acc[j] + row 0 [j]) + row 1 [j] ...
template <int rows, typename T> void add_these(float* acc, const T* x, int64_t stride, int64_t width) {
  backend::for_lanes(width, [&](int64_t j, int64_t n) {
    backend::Lanes sum = backend::load(acc + j, n);
    for (int r = 0; r < rows; ++r) sum = sum + backend::load(x + r * stride + j, n);
    backend::store(acc + j, sum, n);
  });
}

// Several rows at a time spare passes over acc.
template <typename T> void add_rows(float* acc, const T* x, int64_t rows, int64_t stride, int64_t width) {
  constexpr int together = 8;
  int64_t r = 0;
  for (; r + together <= rows; r += together) add_these<together>(acc, x + r * stride, stride, width);
  for (; r < rows; ++r) add_these<1>(acc, x + r * stride, stride, width);
}

// J > 1: columns; a task is a block of rows by a tile of columns
template <typename T, typename Y> void sum_columns(const Plan& p, const T* x, Y* y, float* partials, int threads) {
  constexpr int64_t tile = 512;
  const int64_t tiles = (p.inner + tile - 1) / tile, active = threads_for(p.elements(), threads);
  backend::parallel_for(static_cast<int>(active), p.outer * p.blocks * tiles, [&](int64_t task) {
    const int64_t column = task % tiles * tile, width = std::min(tile, p.inner - column);
    const int64_t kb = task / tiles, begin = kb % p.blocks * p.block, end = std::min(p.reduced, begin + p.block);
    float acc[tile] = {};
    add_rows(acc, x + (kb / p.blocks * p.reduced + begin) * p.inner + column, end - begin, p.inner, width);
    for (int64_t j = 0; j < width; ++j) {
      if (p.blocks == 1) {
        y[kb * p.inner + column + j] = store<Y>(acc[j]);
      } else {
        partials[kb * p.inner + column + j] = acc[j];
      }
    }
  });
  if (p.blocks == 1) return;
  backend::parallel_for(threads_for(p.outer * p.blocks * p.inner, threads), p.outer * tiles, [&](int64_t task) {
    const int64_t k = task / tiles, column = task % tiles * tile, width = std::min(tile, p.inner - column);
    float acc[tile] = {};
    add_rows(acc, partials + k * p.blocks * p.inner + column, p.blocks, p.inner, width);
    for (int64_t j = 0; j < width; ++j) y[k * p.inner + column + j] = store<Y>(acc[j]);
  });
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const Plan plan = plan_of(v);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return with_float(v.out[0].dtype, [&]<typename Y>(Y) {
      return ir::make_kernel(
          [=](const ir::KernelArgs& args) {
            const auto sum_plan = plan.inner == 1 ? sum_rows<T, Y> : sum_columns<T, Y>;
            sum_plan(plan, args.input<T>(0), args.output<Y>(0), static_cast<float*>(args.scratch), threads);
          },
          plan.scratch_bytes());
    });
  });
}

std::vector<ir::Sample> samples() {
  const auto over = [](const Shape& x, ir::Ints dims, bool keep = false) {
    return ir::Sample{.in = {f32(x)}, .attrs = {{"dims", std::move(dims)}, {"keep_dims", keep}}};
  };
  std::vector<ir::Sample> list =
      with_16_bit({over({1}, {0}), over({17}, {0}), over({3, 5, 7}, {0, 1, 2}), over({3, 5, 7}, {0}),
                   over({3, 5, 7}, {1}, true), over({3, 5, 7}, {2}), over({3, 5, 7}, {1, 2}, true), over({17, 33}, {1}),
                   over({17, 33}, {0}), over({0, 3}, {0}), over({3, 0}, {0})});
  list = with_f32_out(std::move(list));
  for (const ir::Sample& s : {over({2, 9001}, {1}), over({200, 33}, {0}), over({2, 150, 3}, {1})}) list.push_back(s);
  for (const ir::Sample& s : {over({4, 256, 768}, {0, 1}), over({4, 256, 3072}, {0, 1}), over({4, 256, 768}, {0}),
                              over({4, 256}, {0, 1}), over({4, 256, 768}, {2}, true), over({3, 64, 128}, {0, 1})}) {
    list.push_back(s);
    list.back().shipped = true;
  }
  return list;
}

}  // namespace

const OpDef sum_op{.name = "sum",
                   .doc = "sum over one run of adjacent dims",
                   .attrs = attrs,
                   .min_inputs = 1,
                   .max_inputs = 1,
                   .infer = infer,
                   .grad = grad,
                   .reference = reference,
                   .cpu = cpu,
                   .samples = samples,
                   .traits = {.cast = ir::CastClass::f32, .f32_out = true}};

Tensor sum(Tensor x) {
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < x.shape().rank(); ++d) dims.push_back(d);
  return sum(x, std::move(dims), false);
}

Tensor sum(Tensor x, std::vector<int64_t> dims, bool keep_dims) {
  for (int64_t& d : dims) d = d < 0 ? d + x.shape().rank() : d;
  std::sort(dims.begin(), dims.end());
  // the last run first, so that the earlier dims keep their numbers
  while (!dims.empty()) {
    auto first = dims.end() - 1;
    while (first != dims.begin() && *(first - 1) + 1 == *first) --first;
    x = x.builder().emit1(sum_op, {x}, {{"dims", ir::Ints(first, dims.end())}, {"keep_dims", keep_dims}});
    dims.erase(first, dims.end());
  }
  return x;
}

Tensor mean(Tensor x) { return scale(sum(x), 1.0 / static_cast<double>(x.shape().elements())); }

Tensor mean(Tensor x, const std::vector<int64_t>& dims, bool keep_dims) {
  const Tensor total = sum(x, dims, keep_dims);
  int64_t count = 1;
  for (const int64_t d : dims) count *= x.dim(static_cast<int>(d));
  return scale(total, 1.0 / static_cast<double>(count));
}

Tensor norm_last(Tensor x, double eps) { return sqrt(shift(sum(square(x), {-1}, false), eps)); }

Tensor sum_to(Tensor x, const Shape& shape) {
  CHECK(broadcasts_to(shape, x.shape()), "sum of {} to {}", str(x.type()), str(shape));
  const int extra = x.shape().rank() - shape.rank();
  std::vector<int64_t> dims;
  for (int d = 0; d < x.shape().rank(); ++d)
    if (x.dim(d) != 1 && (d < extra || shape[d - extra] == 1)) dims.push_back(d);
  return reshape(sum(x, std::move(dims), false), shape);
}

}  // namespace ringmaster::ops
