// SPDX-License-Identifier: Apache-2.0
// global_norm: the square root of the sum of squares of all elements of all inputs.
//   in  any number of f32 tensors     out f32[]
//   numerics: f64. A block is 65,536 elements of one tensor, summed in 16 lanes; block sums are added in block order, whoever
//   computed them: the value depends on neither threads nor ranks.   errors: config if an input is not f32.
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

constexpr int64_t block_elements = 65536;

std::vector<ir::Type> infer(const OpView& v) {
  for (const ir::Type& type : v.in)
    if (type.dtype != DType::f32)
      throw Error({.kind = ErrorKind::config, .message = "an input is " + str(type), .expected = "f32"});
  return {f32({})};
}

void reference(const OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out, const ir::RunContext&) {
  double total = 0.0;
  for (const ir::RefTensor& tensor : in)
    for (const double x : tensor.data) total += x * x;
  out[0].data[0] = std::sqrt(total);
}

// Lane l of 16 adds elements l, l+16, ... in f64; the lanes meet in the tree of lanes.h.
double sum_of_squares(const float* x, int64_t n) {
  __m256d lanes[4] = {};
  backend::for_lanes(n, [&](int64_t i, int64_t count) {
    const backend::Lanes v = backend::load(x + i, count);
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
  int64_t begin, length;
};

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  std::vector<Block> blocks;
  int64_t total = 0;
  for (size_t i = 0; i < v.in.size(); ++i) {
    const int64_t n = v.in[i].shape.elements();
    for (int64_t begin = 0; begin < n; begin += block_elements)
      blocks.push_back({i, begin, std::min(block_elements, n - begin)});
    total += n;
  }
  const auto count = static_cast<int64_t>(blocks.size());
  threads = threads_for(total, threads);
  return ir::make_kernel(
      [blocks = std::move(blocks), count, threads](const ir::KernelArgs& a) {
        auto* sums = static_cast<double*>(a.scratch);
        backend::parallel_for(threads, count, [&](int64_t i) {
          const Block& block = blocks[static_cast<size_t>(i)];
          sums[i] = sum_of_squares(static_cast<const float*>(a.in[block.input]) + block.begin, block.length);
        });
        double all = 0.0;
        for (int64_t i = 0; i < count; ++i) all += sums[i];
        *a.output<float>(0) = static_cast<float>(std::sqrt(all));
      },
      count * static_cast<int64_t>(sizeof(double)));
}

std::vector<ir::Sample> samples() {
  const auto x = [](const Shape& shape) { return f32(shape); };
  return {{.in = {x({})}},
          {.in = {x({1}), x({3, 5, 7}), x({17, 33})}},
          {.in = {x({0}), x({5})}},
          {.in = {x({65537}), x({65536}), x({2, 40000})}},
          {.in = {x({768, 3072}), x({3072}), x({50304, 768}), x({256, 768})}, .shipped = true}};
}

}  // namespace

const OpDef global_norm_op{.name = "global_norm",
                           .doc = "square root of the sum of squares of all elements of all inputs",
                           .min_inputs = 1,
                           .max_inputs = -1,
                           .infer = infer,
                           .reference = reference,
                           .cpu = cpu,
                           .samples = samples,
                           .traits = {.cast = ir::CastClass::f32, .differentiable = false}};

Tensor global_norm(std::span<const Tensor> gradients) {
  return gradients.front().builder().emit(global_norm_op, gradients).front();
}

}  // namespace ringmaster::ops
