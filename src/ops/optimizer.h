// SPDX-License-Identifier: Apache-2.0
// optimizer: what the optimizer ops share: their runtime scalars (lr, step, clip, commit) behind `tensors` tensors of one shape.
#pragma once
#include <algorithm>
#include <limits>
#include <optional>

#include "backend/cpu/lanes.h"
#include "core/error.h"
#include "ops/blocks.h"
#include "ops/element.h"
#include "ops/optimizer_state.h"
#include "ops/samples.h"

namespace ringmaster::ops {

// The first `states` inputs are the old values of the outputs; then the gradient; then lr, step, clip, commit.
inline std::vector<ir::Type> infer_update(const ir::OpView& v, size_t states, const char* const* names) {
  const ir::Type weight = v.in[0];
  const auto require = [&](size_t i, bool ok, const std::string& expected) {
    if (ok) return;
    throw Error(
        {.kind = ErrorKind::config, .message = fmt::format("{} is {}", names[i], str(v.in[i])), .expected = expected});
  };
  require(0, weight.dtype == DType::f32, "f32");
  for (size_t i = 1; i < states; ++i) {
    const bool kept_so = v.in[i].dtype == DType::f32 || v.in[i].dtype == DType::bf16;
    require(i, kept_so && v.in[i].dtype == v.in[1].dtype && v.in[i].shape == weight.shape,
            str(weight) + " like the weight, or all in bf16");
  }
  require(states, v.in[states] == weight, str(weight) + " like the weight");
  const size_t lr = states + 1, step = lr + 1, clip = lr + 2, commit = lr + 3;
  require(lr, v.in[lr] == f32({}), "f32[]");
  require(step, v.in[step] == f32({}) || v.in[step] == i32({}), "f32[] or i32[]");
  require(clip, v.in[clip] == f32({}), "f32[]");
  require(commit, v.in[commit] == i32({}), "i32[]");
  std::vector<ir::Type> out(v.in.begin(), v.in.begin() + static_cast<std::ptrdiff_t>(states));
  if (const auto narrow = dtype_from_name(v.attrs.text("narrow"))) out.push_back({*narrow, weight.shape});
  return out;
}

// The shadow of the weight (ir/graph.h), written while the new weight is hot.
inline const ir::AttrSpec narrow_attr{"narrow", std::string(), false, "'' | bf16 | f16: the new weight as last output"};
inline std::optional<DType> narrow_of(const ir::Attrs& attrs) { return dtype_from_name(attrs.text("narrow")); }
inline void copy_narrow(const ir::KernelArgs& a, std::optional<DType> dtype, int output, int64_t begin, int64_t count) {
  const auto copy = [&]<typename T>(T* to) {
    const float* from = a.output<float>(0);
    backend::for_lanes(
        count, [&](int64_t i, int64_t n) { backend::store(to + begin + i, backend::load(from + begin + i, n), n); });
  };
  if (dtype == DType::bf16) copy(a.output<bf16>(output));
  if (dtype == DType::f16) copy(a.output<f16>(output));
}

// What the new weight is clamped to: infinity unless the attribute is positive.
inline const ir::AttrSpec limit_attr{"limit", 0.0, false, "> 0: largest magnitude of a weight"};
inline double limit_of(const ir::Attrs& attrs) {
  const double limit = attrs.number("limit");
  return limit > 0.0 ? limit : std::numeric_limits<double>::infinity();
}

// A NaN stays one: both pass on their second operand.
inline backend::Lanes clamp(backend::Lanes x, backend::Lanes limit) {
  return min(limit, max(backend::Lanes(0.0F) - limit, x));
}

struct UpdateScalars {
  double lr, step, clip;
  bool commit;
};

inline UpdateScalars update_scalars(const ir::KernelArgs& a, int first, DType step) {
  return {.lr = *a.input<float>(first),
          .step = step == DType::i32 ? static_cast<double>(*a.input<int32_t>(first + 1))
                                     : static_cast<double>(*a.input<float>(first + 1)),
          .clip = *a.input<float>(first + 2),
          .commit = *a.input<int32_t>(first + 3) != 0};
}

inline UpdateScalars update_scalars(std::span<const ir::RefTensor> in, size_t first) {
  return {.lr = in[first].data[0],
          .step = in[first + 1].data[0],
          .clip = in[first + 2].data[0],
          .commit = in[first + 3].data[0] != 0.0};
}

// Where a step is not committed the states stay: nothing to do in place, a copy elsewhere.
inline void keep_states(const ir::KernelArgs& a, int states, int64_t begin, int64_t count, DType kept = DType::f32) {
  for (int i = 0; i < states; ++i) {
    const int64_t size = i == 0 ? size_of(DType::f32) : size_of(kept);
    const char* from = a.input<char>(i) + begin * size;
    char* to = a.output<char>(i) + begin * size;
    if (from != to) std::memcpy(to, from, static_cast<size_t>(count * size));
  }
}

// What an update op is but its rule: `states` outputs over as many inputs, the weight first.
struct UpdateLoop {
  int states, threads;
  int64_t n;
  DType kept;  // of the states behind the weight
  std::optional<DType> narrow;
  uint64_t rounding;

  UpdateLoop(const ir::OpView& v, int num_states, int num_threads)
      : states(num_states),
        threads(num_threads),
        n(v.in[0].shape.elements()),
        kept(v.in[1].dtype),
        narrow(narrow_of(v.attrs)),
        rounding(static_cast<uint64_t>(v.attrs.integer("rounding"))) {}

  // update(S(), stream, begin, count) for every block, where the step is committed
  template <typename Update> void run(const ir::KernelArgs& a, bool commit, const Update& update) const {
    const RandomStream stream = stream_of(a.context, rounding);
    for_blocks(n, threads, [&](int64_t begin, int64_t count) {
      if (!commit)
        keep_states(a, states, begin, count, kept);
      else if (kept == DType::f32)
        update(float(), stream, begin, count);
      else
        update(bf16(), stream, begin, count);
      copy_narrow(a, narrow, states, begin, count);
    });
  }
};

// Cases of an optimizer op: `variants` of attributes over a few shapes, with step 1, later steps, and steps not committed.
inline std::vector<ir::Sample> update_samples(size_t states, size_t second_moment,
                                              const std::vector<ir::Attrs>& variants) {
  const auto exactly = [](double x) { return ir::Fill{.kind = ir::Fill::uniform, .low = x, .high = x}; };
  const auto integer = [](double below) { return ir::Fill{.kind = ir::Fill::ids, .low = 0.0, .high = below}; };
  const ir::Fill positive{.kind = ir::Fill::positive};
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& shape, const ir::Attrs& attrs, bool first_step, bool shipped) {
    ir::Sample s{.in = std::vector<ir::Type>(states + 1, f32(shape)),
                 .attrs = attrs,
                 .fill = std::vector<ir::Fill>(states + 1),
                 .shipped = shipped};
    if (attrs.find("rounding") != nullptr)
      for (size_t i = 1; i < states; ++i) s.in[i].dtype = DType::bf16;
    if (second_moment != 0) s.fill[second_moment] = positive;
    s.in.insert(s.in.end(), {f32({}), f32({}), f32({}), i32({})});
    s.fill.insert(s.fill.end(), {exactly(0.01), exactly(first_step ? 1.0 : 7.0), exactly(0.5), integer(2.0)});
    list.push_back(std::move(s));
  };
  for (const ir::Attrs& attrs : variants) {
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{17, 33}, Shape{0, 3}}) add(shape, attrs, false, false);
    add({3, 5, 7}, attrs, true, false);
    for (int i = 0; i < 4; ++i) add({70000}, attrs, false, false);  // more than one block; commit drawn 0 and 1
    add({768, 3072}, attrs, false, true);
  }
  return list;
}

}  // namespace ringmaster::ops
