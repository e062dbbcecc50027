// SPDX-License-Identifier: Apache-2.0
// random: what ops that draw share. A draw is a function of (seed, stream, step, phase, repeat, global sample, element): it knows no
// rank, thread or grain, and a redo or a recomputation draws it again.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/philox.h"
#include "ir/builder.h"
#include "ops/element.h"

namespace ringmaster::ops {

inline RandomStream stream_of(const ir::RunContext& c, uint64_t stream) {
  return RandomStream({c.seed, stream, static_cast<uint64_t>(c.step), c.phase, c.repeat});
}

// The stream of the next random call: a hash of the scope and of the call's index within it.
inline int64_t next_stream(ir::Builder& b) {
  const auto call = static_cast<uint64_t>(b.next_call(b.scope()));
  return static_cast<int64_t>(stable_hash(b.scope(), call));
}

// ---- draws without input: f32 of a shape whose dim 0 counts the samples of the grain
inline constexpr const char* stream_doc = "hash of the scope and of the call's index within it, or of a name";

inline std::vector<ir::Type> infer_draw(const ir::OpView& v) {
  const Shape shape(v.attrs.ints("shape"));
  for (const int64_t d : shape.dims())
    if (d < 0) throw Error({.kind = ErrorKind::config, .message = "shape is " + str(shape), .expected = "dims >= 0"});
  return {{DType::f32, shape}};
}

// The samples of a draw and the elements of each.
struct DrawSize {
  int64_t samples, size;
  explicit DrawSize(const Shape& shape)
      : samples(shape.rank() == 0 ? 1 : shape[0]), size(samples == 0 ? 0 : shape.elements() / samples) {}
};

// Calls fill(words, y, count) for every block of `width` elements of a sample, in any order, on the threads.
template <int width, typename Fill>
std::unique_ptr<ir::Kernel> draw_kernel(const ir::OpView& v, int threads, Fill fill) {
  const DrawSize n(v.out[0].shape);
  const int64_t blocks = (n.size + width - 1) / width;
  return ir::make_kernel([=, id = static_cast<uint64_t>(v.attrs.integer("stream"))](const ir::KernelArgs& args) {
    const RandomStream stream = stream_of(args.context, id);
    const auto first = static_cast<uint64_t>(args.context.first_sample);
    auto* y = args.output<float>(0);
    backend::parallel_for(threads_for(n.samples * n.size, threads), n.samples * blocks, [&](int64_t task) {
      const int64_t sample = task / blocks, block = task % blocks;
      fill(stream.words(first + static_cast<uint64_t>(sample), static_cast<uint64_t>(block)),
           y + sample * n.size + block * width, std::min<int64_t>(width, n.size - block * width));
    });
  });
}

inline std::vector<ir::Sample> draw_samples() {
  std::vector<ir::Sample> list;
  const auto add = [&](const ir::Ints& shape, bool shipped) {
    list.push_back({.attrs = {{"shape", shape}, {"stream", int64_t{-7046029254386353131}}}, .shipped = shipped});
  };
  for (const ir::Ints& shape :
       {ir::Ints{}, ir::Ints{5}, ir::Ints{3, 5, 7}, ir::Ints{17, 33}, ir::Ints{0, 3}, ir::Ints{3, 0}})
    add(shape, false);
  add({64, 1024}, true);
  return list;
}

// The node of a draw; its stream is `name`'s, or the next of the scope.
inline ir::Tensor emit_draw(const ir::OpDef& op, ir::Builder& b, const Shape& shape, const std::string& name) {
  const auto dims = shape.dims();
  const int64_t stream = name.empty() ? next_stream(b) : static_cast<int64_t>(stable_hash(name));
  return b.emit1(op, {}, {{"shape", ir::Ints(dims.begin(), dims.end())}, {"stream", stream}});
}

}  // namespace ringmaster::ops
