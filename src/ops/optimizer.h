// SPDX-License-Identifier: Apache-2.0
// optimizer: what the optimizer ops share: their runtime scalars (lr, step, clip, commit) behind tensors of one
// shape, and the loop over tiles on which a rule computes.
#pragma once
#include <algorithm>
#include <limits>
#include <optional>

#include "backend/cpu/grid.h"
#include "backend/cpu/wide.h"
#include "core/error.h"
#include "core/halves.h"
#include "ops/blocks.h"
#include "ops/element.h"
#include "ops/narrow.h"
#include "ops/optimizer_state.h"
#include "ops/samples.h"

namespace ringmaster::ops {

// A weight in bf16 is a split master (core/halves.h): what it has beyond bf16 stands behind the states.
inline bool is_split(std::span<const ir::Type> in) { return in[0].dtype == DType::bf16; }

inline void require_gradient(const ir::OpView& v, size_t gradient) {
  const bool fixed = v.in[gradient].dtype == DType::i32;
  const bool complete = v.in.size() == gradient + (fixed ? 6U : 5U) && (!fixed || v.in.back() == f32({}));
  if (complete && v.in[gradient].shape == v.in[0].shape && (fixed || v.in[gradient].dtype == DType::f32)) return;
  throw Error(
      {.kind = ErrorKind::config,
       .message =
           fmt::format("gradient is {}, with {} inputs behind it", str(v.in[gradient]), v.in.size() - gradient - 1),
       .expected = str(f32(v.in[0].shape)) + " like the weight; or i32 with its grid, f32[], as the last input"});
}

// The first `states` inputs are the old values of the outputs, as is the remainder of a split weight; then the gradient; then lr,
// step, clip, commit; then the grid of a gradient of integers (grids.cpp).
inline std::vector<ir::Type> infer_update(const ir::OpView& v, size_t states, const char* const* names) {
  const ir::Type weight{DType::f32, v.in[0].shape};
  const bool split = is_split(v.in);
  const size_t gradient = states + (split ? 1 : 0);
  const auto require = [&](size_t i, bool ok, const std::string& expected) {
    if (ok) return;
    const char* what = i < states ? names[i] : split && i == states ? "remainder" : names[i - (split ? 1 : 0)];
    throw Error(
        {.kind = ErrorKind::config, .message = fmt::format("{} is {}", what, str(v.in[i])), .expected = expected});
  };
  const auto narrow = narrow_of(v.attrs);
  require(0, v.in.size() >= gradient + 5 && (split ? !narrow : v.in[0] == weight),
          "f32, or bf16 with its remainder and without `narrow`");
  for (size_t i = 1; i < states; ++i) {
    const bool kept_so = v.in[i].dtype == DType::f32 || v.in[i].dtype == DType::bf16;
    require(i, kept_so && v.in[i].dtype == v.in[1].dtype && v.in[i].shape == weight.shape,
            str(weight) + " like the weight, or all in bf16");
  }
  if (split) require(states, v.in[states] == ir::Type{DType::u16, weight.shape}, "u16 in the shape of the weight");
  require_gradient(v, gradient);
  const size_t lr = gradient + 1, step = lr + 1, clip = lr + 2, commit = lr + 3;
  require(lr, v.in[lr] == f32({}), "f32[]");
  require(step, v.in[step] == f32({}) || v.in[step] == i32({}), "f32[] or i32[]");
  require(clip, v.in[clip] == f32({}), "f32[]");
  require(commit, v.in[commit] == i32({}), "i32[]");
  std::vector<ir::Type> out(v.in.begin(), v.in.begin() + static_cast<std::ptrdiff_t>(gradient));
  if (narrow) out.push_back(narrowed(weight, *narrow));
  return out;
}

inline const ir::AttrSpec limit_attr{"limit", 0.0, false, "> 0: largest magnitude of a weight"};
inline double limit_of(const ir::Attrs& attrs) {
  const double limit = attrs.number("limit");
  return limit > 0.0 ? limit : std::numeric_limits<double>::infinity();
}

// A NaN stays one.
inline float clamp(float x, float limit) {
  const float above = x < -limit ? -limit : x;
  return limit < above ? limit : above;
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

// Where a step is not committed a state stays: nothing to do in place, a copy elsewhere.
inline void keep_state(const ir::KernelArgs& a, int i, DType dtype, int64_t begin, int64_t count) {
  const int64_t size = size_of(dtype);
  const char* from = a.input<char>(i) + begin * size;
  char* to = a.output<char>(i) + begin * size;
  if (from != to) std::memcpy(to, from, static_cast<size_t>(count * size));
}

// The weight of a reference, and the outputs that hold it anew.
inline double weight_of(std::span<const ir::RefTensor> in, size_t states, size_t i) {
  if (in[0].type.dtype == DType::f32) return in[0].data[i];
  return joined({to_bf16(static_cast<float>(in[0].data[i])), static_cast<uint16_t>(in[states].data[i])});
}
inline void keep_weight(std::span<ir::RefTensor> out, size_t states, size_t i, double w) {
  const bool split = out[0].type.dtype != DType::f32;
  const Halves halves = halves_of(static_cast<float>(w));
  out[0].data[i] = split ? to_float(halves.high) : w;
  if (out.size() > states) out[states].data[i] = split ? halves.low : w;
}

// The place of the gradient among the inputs of a reference, and one of its elements.
inline size_t gradient_place(std::span<const ir::RefTensor> in, size_t states) {
  return states + (in[0].type.dtype == DType::bf16 ? 1 : 0);
}
inline double gradient_at(std::span<const ir::RefTensor> in, size_t states, size_t i) {
  const ir::RefTensor& gradient = in[gradient_place(in, states)];
  const double by = gradient.type.dtype != DType::i32 ? 1.0 : in.back().data[0];
  return by == 0.0 ? 0.0 : gradient.data[i] / by;
}

// What an update op is but its rule: `states` outputs over as many inputs, the weight first, its remainder last.
struct UpdateLoop {
  int states, threads;
  bool split;
  int gradient;        // its place among the inputs
  bool fixed;          // it is of integers, whose grid is the last input
  int64_t n, element;  // how many; of a part, where it begins in the tensor
  DType kept;          // of the states behind the weight
  std::optional<DType> narrow;
  uint64_t rounding;

  UpdateLoop(const ir::OpView& v, int num_states, int num_threads)
      : states(num_states),
        threads(num_threads),
        split(is_split(v.in)),
        gradient(states + (split ? 1 : 0)),
        fixed(v.in[static_cast<size_t>(gradient)].dtype == DType::i32),
        n(v.in[0].shape.elements()),
        element(v.attrs.integer("element")),
        kept(v.in[1].dtype),
        narrow(narrow_of(v.attrs)),
        rounding(static_cast<uint64_t>(v.attrs.integer("rounding"))) {}

  // rule(tile) for all tiles, where the step is committed
  template <typename Rule> void run(const ir::KernelArgs& a, bool commit, const Rule& rule) const {
    const RandomStream stream = stream_of(a.context, rounding);
    const Route copy = narrow && n >= larger_than_caches ? Route::past_caches : Route::caches;
    CHECK(copy == Route::caches || reinterpret_cast<uintptr_t>(a.out[states]) % backend::past_caches_alignment == 0,
          "a 16-bit copy lies at {}, expected a multiple of {}", a.out[states], backend::past_caches_alignment);
    for_blocks(n, threads, [&](int64_t begin, int64_t count) {
      if (!commit) return keep(a, begin, count);
      for (int64_t i = 0; i < count; i += UpdateTile::most)
        update(a, stream, begin + i, std::min(UpdateTile::most, count - i), copy, rule);
      if (copy == Route::past_caches) backend::fence_stores();
    });
  }

 private:
  // Whose f32 weight, moments and gradient are 32 MiB, an L3: of their copy little is left when the next step reads it.
  static constexpr int64_t larger_than_caches = int64_t{1} << 21;

  template <typename Rule>
  void update(const ir::KernelArgs& a, const RandomStream& stream, int64_t begin, int64_t count, Route copy,
              const Rule& rule) const {
    alignas(64) float wide[UpdateTile::most_states][UpdateTile::most];
    alignas(64) float taken[UpdateTile::most];
    UpdateTile t{.gradient = !fixed ? a.input<float>(gradient) + begin : taken, .count = count};
    if (fixed)
      backend::from_grid(a.input<int32_t>(gradient) + begin, taken, count,
                         backend::inverse_of(*a.input<float>(gradient + 5)));
    for (int k = 0; k < states; ++k) {
      const bool is_f32 = k == 0 ? !split : kept == DType::f32;
      t.old[k] = is_f32 ? a.input<float>(k) + begin : wide[k];
      t.now[k] = is_f32 ? a.output<float>(k) + begin : wide[k];
      if (!is_f32 && k > 0) backend::copy_lanes(a.input<bf16>(k) + begin, wide[k], count);
    }
    if (split) join_tile(a, states, begin, wide[0], count);
    backend::in_widest([&] { rule(t); });
    if (split) split_tile(a, states, begin, t.now[0], count);
    if (kept != DType::f32) round_tile(a, states, stream, element, begin, t);
    copy_narrow(a, narrow, states, begin, count, copy);
  }

  void keep(const ir::KernelArgs& a, int64_t begin, int64_t count) const {
    keep_state(a, 0, split ? DType::bf16 : DType::f32, begin, count);
    for (int i = 1; i < states; ++i) keep_state(a, i, kept, begin, count);
    if (split) keep_state(a, states, DType::u16, begin, count);
    copy_narrow(a, narrow, states, begin, count);
  }
};

}  // namespace ringmaster::ops
