// SPDX-License-Identifier: Apache-2.0
// normal: y ~ N(0, 1), drawn anew in every step.     Box and Muller 1958.     Not differentiable: nothing flows in.
//   out y f32 of `shape`, whose dim 0 counts the samples of the grain     attrs shape, stream
//   y = sqrt(-2 log u) cos(2 pi v),  u = (word + 1) / 2^32 in (0, 1],  v = next word / 2^32
//   numerics: computed in f64, rounded once; element e of a sample takes words 2 (e % 2) and the next of words(sample, e / 2) of the
//   Philox stream (seed, stream, step, phase, repeat), and `sample` is global: the draw knows no rank, thread or grain.
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/random.h"

#include <cmath>
#include <numbers>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"shape", ir::Ints{}, true}, {"stream", int64_t{0}, true, stream_doc}};

void reference(const ir::OpView& v, std::span<const ir::RefTensor>, std::span<ir::RefTensor> out,
               const ir::RunContext& context) {
  const RandomStream stream = stream_of(context, static_cast<uint64_t>(v.attrs.integer("stream")));
  const auto size = static_cast<size_t>(DrawSize(v.out[0].shape).size);
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const size_t element = i % size;
    const auto words = stream.words(static_cast<uint64_t>(context.first_sample) + i / size, element / 2);
    const double u = std::ldexp(words[2 * (element % 2)] + 1.0, -32),
                 turn = std::ldexp(words[2 * (element % 2) + 1], -32);
    out[0].data[i] = std::sqrt(2.0 * std::log(1.0 / u)) * std::cos(2.0 * std::numbers::pi * turn);
  }
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  return draw_kernel<2>(v, threads, [](const PhiloxCounter& words, float* y, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const auto first = static_cast<size_t>(2 * i);
      y[i] = static_cast<float>(ringmaster::normal(words[first], words[first + 1]));
    }
  });
}

}  // namespace

const OpDef normal_op{.name = "normal",
                      .doc = "random numbers of N(0, 1), by counter",
                      .attrs = attrs,
                      .infer = infer_draw,
                      .reference = reference,
                      .cpu = cpu,
                      .samples = draw_samples,
                      .traits = {.random = true, .differentiable = false}};

Tensor normal(ir::Builder& b, const Shape& shape, const std::string& stream) {
  return emit_draw(normal_op, b, shape, stream);
}

}  // namespace ringmaster::ops
