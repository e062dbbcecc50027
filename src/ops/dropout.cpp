// SPDX-License-Identifier: Apache-2.0
// dropout: y = keep ? x / (1 - p) : 0, keep with probability 1 - p.   Srivastava et al. 2014, JMLR 15
//   dx = dropout of dy with the same mask
//   in  x: f32, bf16 or f16; dim 0 counts the samples of the grain     out y like x     attrs p in [0, 1), stream
//   numerics: element e of a sample is kept iff uniform(word) >= p, where word = words(sample, e / 4)[e % 4] of the Philox stream
//   (seed, stream, step, phase, repeat) and `sample` is global: the mask knows no rank, thread or grain, and a redo or a
//   recomputation draws it again. 1 / (1 - p) is rounded to f32; the product is rounded once.
#include "ops/blocks.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/random.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"p", 0.0, true, "probability of a zero"},
                              {"stream", int64_t{0}, true, "hash of the scope and of the call's index within it"}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  require_float(v.in[0], "x");
  const double p = v.attrs.number("p");
  if (!(p >= 0.0 && p < 1.0))
    throw Error({.kind = ErrorKind::config, .message = fmt::format("p is {}", p), .expected = "0 <= p < 1"});
  return {v.in[0]};
}

std::vector<Tensor> grad(const ir::GradView& v) { return {v.in[0].builder().emit1(dropout_op, {v.d_out[0]}, v.attrs)}; }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext& context) {
  const double p = v.attrs.number("p");
  const RandomStream stream = stream_of(context, static_cast<uint64_t>(v.attrs.integer("stream")));
  const size_t samples = v.in[0].shape.rank() == 0 ? 1 : static_cast<size_t>(v.in[0].shape[0]);
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const size_t size = out[0].data.size() / samples, element = i % size;
    const auto words = stream.words(static_cast<uint64_t>(context.first_sample) + i / size, element / 4);
    out[0].data[i] = ringmaster::uniform(words[element % 4]) >= p ? in[0].data[i] / (1.0 - p) : 0.0;
  }
}

struct Mask {
  RandomStream stream;
  uint64_t first_sample;
  int64_t size;  // elements of a sample
  float p, factor;

  // Elements begin .. begin + count of the grain.
  template <typename T> void apply(const T* x, T* y, int64_t begin, int64_t count) const {
    int64_t sample = begin / std::max<int64_t>(size, 1), element = begin - sample * size;
    for (int64_t i = 0; i < count;) {
      const int64_t word = element % 4, n = std::min({4 - word, size - element, count - i});
      const PhiloxCounter words =
          stream.words(first_sample + static_cast<uint64_t>(sample), static_cast<uint64_t>(element / 4));
      for (int64_t k = 0; k < n; ++k)
        y[i + k] =
            store<T>(ringmaster::uniform(words[static_cast<size_t>(word + k)]) >= p ? load(x[i + k]) * factor : 0.0F);
      i += n;
      element += n;
      if (element < size) continue;
      element = 0;
      ++sample;
    }
  }
};

// The mask of a run.
auto mask_of(const ir::OpView& v) {
  const Shape& shape = v.in[0].shape;
  const int64_t samples = shape.rank() == 0 ? 1 : shape[0], size = samples == 0 ? 0 : shape.elements() / samples;
  return [=, id = static_cast<uint64_t>(v.attrs.integer("stream")), p = v.attrs.number("p")](const ir::RunContext& c) {
    return Mask{stream_of(c, id), static_cast<uint64_t>(c.first_sample), size, static_cast<float>(p),
                static_cast<float>(1.0 / (1.0 - p))};
  };
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=, n = v.in[0].shape.elements(), mask_of = mask_of(v)](const ir::KernelArgs& args) {
      const Mask mask = mask_of(args.context);
      const T* x = args.input<T>(0);
      T* y = args.output<T>(0);
      for_blocks(n, threads, [&](int64_t begin, int64_t count) { mask.apply(x + begin, y + begin, begin, count); });
    });
  });
}

ir::TileFunction tile(const ir::OpView& v) {
  return [mask_of = mask_of(v)](const ir::Tile& t) { mask_of(t.context).apply(t.in[0], t.out, t.begin, t.count); };
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const ir::Attrs attributes{{"p", 0.25}, {"stream", int64_t{-7046029254386353131}}};
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{3, 5, 7}, Shape{17, 33}, Shape{0, 3}})
    list.push_back({.in = {f32(shape)}, .attrs = attributes});
  list.push_back({.in = {f32({3, 64, 128})}, .attrs = attributes, .shipped = true});
  return with_16_bit(std::move(list));
}

}  // namespace

const OpDef dropout_op{.name = "dropout",
                       .doc = "x / (1 - p) or 0, by a counter-based mask",
                       .attrs = attrs,
                       .min_inputs = 1,
                       .max_inputs = 1,
                       .infer = infer,
                       .grad = grad,
                       .reference = reference,
                       .cpu = cpu,
                       .tile = tile,
                       .samples = samples,
                       .traits = {.random = true, .in_place = true}};

Tensor dropout(Tensor x, double p) {
  if (p == 0.0) return x;
  ir::Builder& b = x.builder();
  return b.emit1(dropout_op, {x}, {{"p", p}, {"stream", next_stream(b)}});
}

}  // namespace ringmaster::ops
