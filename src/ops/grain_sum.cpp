// SPDX-License-Identifier: Apache-2.0
// grain_sum: how gradients leave a grain: the sum of the inputs over the grains of the step.
//   in  any number of tensors of one shape, f32     out f32 like them
//   in fixed point (`grains` > 0; grids.cpp): each input is rounded to integers by itself and these are added, over inputs, grains and
//   ranks: no order of them changes a bit.
//     in   the same; where its op has rounded it already (into_sum), i32, and behind it f32[], the largest magnitude in it;
//          last the grid f32[]     out i32 like them, and f32[grains]: the largest magnitude in each grain
//     numerics: nearest even; the magnitudes of several inputs are added. What is not finite shows in them.
//   errors: config if shapes or dtypes differ.
#include "backend/cpu/grid.h"
#include "core/error.h"
#include "ops/blocks.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <algorithm>

namespace ringmaster::ops {
namespace {

using ir::KernelArgs;
using ir::OpView;
using ir::Type;

const ir::AttrSpec attrs[] = {{"grains", int64_t{0}, false, "in fixed point: of the step, all ranks together"}};

[[noreturn]] void refuse(const Type& found, const std::string& expected) {
  throw Error({.kind = ErrorKind::config, .message = "grain_sum of " + str(found), .expected = expected});
}

struct Part {
  int input = 0;
  int peak = -1;  // the input that tells the largest magnitude in it, where it is rounded already
};

std::vector<Part> parts_of(const OpView& v) {
  std::vector<Part> parts;
  const Shape& shape = v.in[0].shape;
  const size_t last = v.in.size() - 1;
  for (size_t i = 0; i < last; ++i) {
    const Type& x = v.in[i];
    if (!(x == f32(shape) || x == i32(shape))) refuse(x, str(f32(shape)) + ", or i32");
    parts.push_back({.input = static_cast<int>(i)});
    if (x.dtype == DType::f32) continue;
    if (++i >= last || !(v.in[i] == f32({}))) refuse(x, "f32[] behind it: the largest magnitude in it");
    parts.back().peak = static_cast<int>(i);
  }
  return parts;
}

std::vector<Type> infer(const OpView& v) {
  const Type plain = f32(v.in[0].shape);
  if (v.attrs.integer("grains") == 0) {
    for (const Type& x : v.in)
      if (!(x == plain)) refuse(x, str(plain));
    return {plain};
  }
  if (!(v.in.back() == f32({}))) refuse(v.in.back(), "the grid, f32[], as the last input");
  if (parts_of(v).empty()) refuse(v.in.back(), "something to add in front of the grid");
  return {i32(v.in[0].shape), f32({v.attrs.integer("grains")})};
}

// The first grain assigns, so that no zeroing pass is needed. What an op has added by itself lies where the sum does.
std::unique_ptr<ir::Kernel> plain_cpu(const OpView& v, int threads) {
  const int64_t n = v.in[0].shape.elements();
  const auto count = static_cast<int>(v.in.size());
  return ir::make_kernel([n, count, threads = threads_for(n, threads)](const KernelArgs& a) {
    auto* sum = a.output<float>(0);
    bool add = !a.context.first_grain;
    for (int k = 0; k < count; ++k) add = add || a.in[k] == sum;
    for (int k = 0; k < count; ++k) {
      const float* x = a.input<float>(k);
      if (x == sum) continue;
      if (add) {
        backend::parallel_simd(threads, n, [&](int64_t i) { sum[i] += x[i]; });
      } else {
        backend::parallel_simd(threads, n, [&](int64_t i) { sum[i] = x[i]; });
      }
      add = true;
    }
  });
}

std::unique_ptr<ir::Kernel> fixed_cpu(const OpView& v, int threads) {
  const int64_t n = v.in[0].shape.elements(), grains = v.attrs.integer("grains");
  return ir::make_kernel([=, parts = parts_of(v), grid = static_cast<int>(v.in.size()) - 1](const KernelArgs& a) {
    auto* sum = a.output<int32_t>(0);
    const float multiplier = *a.input<float>(grid);
    bool add = !a.context.first_grain;
    float magnitude = 0.0F;
    for (const Part& part : parts) add = add || a.in[part.input] == sum;
    for (const Part& part : parts) {
      if (part.peak >= 0) {
        magnitude += *a.input<float>(part.peak);
        CHECK(a.in[part.input] == sum, "grain_sum: what is rounded already lies elsewhere");
        continue;
      }
      backend::Peak peak;
      const float* x = a.input<float>(part.input);
      for_blocks(n, threads, [&](int64_t begin, int64_t count) {
        backend::Fold{.add = add, .peak = &peak, .multiplier = multiplier}(x + begin, sum + begin, count);
      });
      magnitude += peak.value();
      add = true;
    }
    auto* peaks = a.output<float>(1);
    if (a.context.first_grain) std::fill_n(peaks, grains, 0.0F);  // other ranks' grains: the sum over ranks fills them
    peaks[a.context.grain] = magnitude;
  });
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  return v.attrs.integer("grains") == 0 ? plain_cpu(v, threads) : fixed_cpu(v, threads);
}

}  // namespace

const OpDef grain_sum_op{.name = "grain_sum",
                         .doc = "sum of the inputs over the grains of the step; how gradients leave a grain",
                         .attrs = attrs,
                         .min_inputs = 1,
                         .max_inputs = -1,
                         .infer = infer,
                         .cpu = cpu,
                         .traits = {.role = ir::Role::grain_sum, .differentiable = false}};

Tensor grain_sum(std::span<const Tensor> xs) { return xs.front().builder().emit(grain_sum_op, xs).front(); }

FixedGradient grain_sum(std::span<const Tensor> xs, Tensor grid, int64_t num_grains) {
  std::vector<Tensor> in(xs.begin(), xs.end());
  in.push_back(grid);
  const auto out = grid.builder().emit(grain_sum_op, in, {{"grains", num_grains}});
  return {out[0], out[1]};
}

}  // namespace ringmaster::ops
