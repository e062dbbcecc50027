// SPDX-License-Identifier: Apache-2.0
// uniform: y ~ U[0, 1), drawn anew in every step.     Not differentiable: nothing flows in.
//   out y f32 of `shape`, whose dim 0 counts the samples of the grain     attrs shape, stream
//   numerics: 24 bits; element e of a sample is word e % 4 of words(sample, e / 4) of the Philox stream (seed, stream, step, phase,
//   repeat), and `sample` is global: the draw knows no rank, thread or grain.
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/random.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"shape", ir::Ints{}, true}, {"stream", int64_t{0}, true, stream_doc}};

void reference(const ir::OpView& v, std::span<const ir::RefTensor>, std::span<ir::RefTensor> out,
               const ir::RunContext& context) {
  const RandomStream stream = stream_of(context, static_cast<uint64_t>(v.attrs.integer("stream")));
  const auto size = static_cast<size_t>(DrawSize(v.out[0].shape).size);
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const size_t element = i % size;
    const auto words = stream.words(static_cast<uint64_t>(context.first_sample) + i / size, element / 4);
    out[0].data[i] = static_cast<double>(words[element % 4] >> 8) * 0x1p-24;
  }
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  return draw_kernel<4>(v, threads, [](const PhiloxCounter& words, float* y, int64_t count) {
    for (int64_t i = 0; i < count; ++i) y[i] = ringmaster::uniform(words[static_cast<size_t>(i)]);
  });
}

}  // namespace

const OpDef uniform_op{.name = "uniform",
                       .doc = "random numbers of [0, 1), by counter",
                       .attrs = attrs,
                       .infer = infer_draw,
                       .reference = reference,
                       .cpu = cpu,
                       .samples = draw_samples,
                       .traits = {.random = true, .differentiable = false}};

Tensor uniform(ir::Builder& b, const Shape& shape, const std::string& stream) {
  return emit_draw(uniform_op, b, shape, stream);
}

}  // namespace ringmaster::ops
