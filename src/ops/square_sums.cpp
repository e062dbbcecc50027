// SPDX-License-Identifier: Apache-2.0
// square_sums: the sums of squares that a global norm adds up (norm.cpp), block by block: a block is 65,536 elements of one tensor.
//   in  any number of f32 tensors; or of i32 ones, and behind them their grids f32[] (grids.cpp)
//   out f64[blocks]: those of input i from slot `firsts`[i] on, without `firsts` one input behind the other; 0 elsewhere, where other
//       ranks fill them in
//   numerics: f64, in 16 lanes; a sum depends on nothing but its block: neither on threads nor on who computes it.
//   errors: config if an input has another type, or its blocks are not within `blocks`.
#include "backend/cpu/grid.h"
#include "backend/cpu/lanes.h"
#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

using ir::OpView;

const ir::AttrSpec attrs[] = {{"firsts", ir::Ints{}, false, "slot of the first block of each tensor"},
                              {"blocks", int64_t{0}, false, "with `firsts`: of all ranks"}};

// Slots of the first blocks of the tensors, and how many slots there are.
struct Slots {
  std::vector<int64_t> firsts;
  int64_t all = 0;
};

bool is_fixed(const OpView& v) { return v.in[0].dtype == DType::i32; }
size_t tensors_of(const OpView& v) { return v.in.size() / (is_fixed(v) ? 2 : 1); }

Slots slots_of(const OpView& v) {
  if (!v.attrs.ints("firsts").empty()) return {v.attrs.ints("firsts"), v.attrs.integer("blocks")};
  Slots slots;
  for (size_t i = 0; i < tensors_of(v); ++i) {
    slots.firsts.push_back(slots.all);
    slots.all += norm_blocks(v.in[i].shape.elements());
  }
  return slots;
}

std::vector<ir::Type> infer(const OpView& v) {
  const size_t tensors = tensors_of(v);
  const auto refuse = [](const ir::Type& type, const std::string& expected) {
    throw Error({.kind = ErrorKind::config, .message = "an input is " + str(type), .expected = expected});
  };
  for (size_t i = 0; i < tensors; ++i)
    if (v.in[i].dtype != (is_fixed(v) ? DType::i32 : DType::f32)) refuse(v.in[i], "f32, or all i32 and their grids");
  for (size_t i = tensors; i < v.in.size(); ++i)
    if (!(v.in[i] == f32({}))) refuse(v.in[i], "f32[], the grid of input " + std::to_string(i - tensors));
  if (tensors * (is_fixed(v) ? 2 : 1) != v.in.size()) refuse(v.in.back(), "as many grids as tensors of i32");
  const Slots slots = slots_of(v);
  bool fits = slots.firsts.size() == tensors;
  for (size_t i = 0; fits && i < tensors; ++i)
    fits = slots.firsts[i] >= 0 && slots.firsts[i] + norm_blocks(v.in[i].shape.elements()) <= slots.all;
  if (!fits)
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("firsts [{}] of {} blocks", fmt::join(slots.firsts, ","), slots.all),
                 .expected = fmt::format("one for each of {} tensors, whose blocks end within them", tensors)});
  return {{DType::f64, {slots.all}}};
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const Slots slots = slots_of(v);
  for (size_t i = 0; i < tensors_of(v); ++i) {
    const auto first = static_cast<size_t>(slots.firsts[i]);
    const double grid = is_fixed(v) ? in[tensors_of(v) + i].data[0] : 1.0, by = grid == 0.0 ? 0.0 : 1.0 / grid;
    for (size_t k = 0; k < in[i].data.size(); ++k)
      out[0].data[first + k / static_cast<size_t>(norm_block)] += in[i].data[k] * by * in[i].data[k] * by;
  }
}

backend::Lanes load_element(const float* x, int64_t count) { return backend::load(x, count); }
backend::Lanes load_element(const int32_t* q, int64_t count) {
  const backend::Lanes bits = backend::load(reinterpret_cast<const float*>(q), count);
  return {_mm256_cvtepi32_ps(_mm256_castps_si256(bits.lo)), _mm256_cvtepi32_ps(_mm256_castps_si256(bits.hi))};
}

// Lane l of 16 adds elements l, l+16, ... in f64; the lanes meet in the tree of lanes.h.
template <typename T> double sum_of_squares(const T* x, int64_t n) {
  __m256d lanes[4] = {};
  backend::for_lanes(n, [&](int64_t i, int64_t count) {
    const backend::Lanes v = load_element(x + i, count);
    const __m256d quarter[4] = {
        _mm256_cvtps_pd(_mm256_castps256_ps128(v.lo)), _mm256_cvtps_pd(_mm256_extractf128_ps(v.lo, 1)),
        _mm256_cvtps_pd(_mm256_castps256_ps128(v.hi)), _mm256_cvtps_pd(_mm256_extractf128_ps(v.hi, 1))};
    for (int q = 0; q < 4; ++q) lanes[q] = _mm256_fmadd_pd(quarter[q], quarter[q], lanes[q]);
  });
  alignas(32) double four[4];
  _mm256_store_pd(four, _mm256_add_pd(_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3])));
  return (four[0] + four[2]) + (four[1] + four[3]);
}

struct Block {
  size_t input;
  int64_t begin, length, slot;
};

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const Slots slots = slots_of(v);
  std::vector<Block> blocks;
  int64_t total = 0;
  for (size_t i = 0; i < tensors_of(v); ++i) {
    const int64_t n = v.in[i].shape.elements();
    for (int64_t begin = 0; begin < n; begin += norm_block)
      blocks.push_back({i, begin, std::min(norm_block, n - begin), slots.firsts[i] + begin / norm_block});
    total += n;
  }
  threads = threads_for(total, threads);
  return ir::make_kernel([blocks = std::move(blocks), threads, fixed = is_fixed(v), tensors = tensors_of(v),
                          all = slots.all](const ir::KernelArgs& a) {
    auto* const sums = a.output<double>(0);
    std::fill_n(sums, all, 0.0);
    backend::parallel_for(threads, static_cast<int64_t>(blocks.size()), [&](int64_t i) {
      const Block& block = blocks[static_cast<size_t>(i)];
      if (!fixed) {
        sums[block.slot] = sum_of_squares(static_cast<const float*>(a.in[block.input]) + block.begin, block.length);
        return;
      }
      // a power of 2, so that it may as well multiply the sum: no bit of a square is lost to it
      const double unit = backend::inverse_of(*static_cast<const float*>(a.in[tensors + block.input]));
      sums[block.slot] =
          unit * unit * sum_of_squares(static_cast<const int32_t*>(a.in[block.input]) + block.begin, block.length);
    });
  });
}

std::vector<ir::Sample> samples() {
  const auto x = [](const Shape& shape) { return f32(shape); };
  const auto q = [](const Shape& shape) { return i32(shape); };
  const ir::Fill integers{.kind = ir::Fill::ids, .high = 1000.0},
      grid{.kind = ir::Fill::uniform, .low = 64.0, .high = 64.0};
  return {{.in = {q({1}), q({3, 5, 7}), q({17, 33}), f32({}), f32({}), f32({})},
           .fill = {integers, integers, integers, grid, grid, grid}},
          {.in = {q({65537}), q({0}), f32({}), f32({})}, .fill = {integers, integers, grid, grid}},
          {.in = {q({65537}), q({3}), f32({}), f32({})},
           .attrs = {{"firsts", ir::Ints{4, 0}}, {"blocks", int64_t{9}}},
           .fill = {integers, integers, grid, grid}},
          {.in = {x({0})}, .attrs = {{"firsts", ir::Ints{0}}, {"blocks", int64_t{4}}}},
          {.in = {x({})}},
          {.in = {x({1}), x({3, 5, 7}), x({17, 33})}},
          {.in = {x({0}), x({5})}},
          {.in = {x({65537}), x({65536}), x({2, 40000})}},
          {.in = {x({768, 3072}), x({3072}), x({50304, 768}), x({256, 768})}, .shipped = true}};
}

}  // namespace

const OpDef square_sums_op{.name = "square_sums",
                           .doc = "sums of squares of all elements of all inputs, by blocks of 65,536",
                           .attrs = attrs,
                           .min_inputs = 1,
                           .max_inputs = -1,
                           .infer = infer,
                           .reference = reference,
                           .cpu = cpu,
                           .samples = samples,
                           .traits = {.cast = ir::CastClass::f32, .sums_blocks = true, .differentiable = false}};

Tensor square_sums(std::span<const Tensor> xs, std::span<const Tensor> grids) {
  std::vector<Tensor> in(xs.begin(), xs.end());
  in.insert(in.end(), grids.begin(), grids.end());
  return xs.front().builder().emit(square_sums_op, in).front();
}

}  // namespace ringmaster::ops
