// SPDX-License-Identifier: Apache-2.0
// optimizer_samples: the cases that update ops give to the conformance suite.
#pragma once
#include <vector>

#include "ops/samples.h"

namespace ringmaster::ops {

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

// The same cases with a gradient of integers.
inline std::vector<ir::Sample> with_fixed_gradient(std::vector<ir::Sample> list, size_t states) {
  for (ir::Sample& s : list) {
    s.in[states].dtype = DType::i32;
    s.in.push_back(f32({}));
    s.fill[states] = {.kind = ir::Fill::ids, .low = 0.0, .high = 1000.0};
    s.fill.push_back({.kind = ir::Fill::uniform, .low = 512.0, .high = 512.0});
  }
  return list;
}

// The same cases with a split weight. A reference in f64 knows its last bits only where it stays as it is.
inline std::vector<ir::Sample> with_split_weight(std::vector<ir::Sample> list, size_t states) {
  const auto behind = static_cast<std::ptrdiff_t>(states);
  for (ir::Sample& s : list) {
    s.in[0].dtype = DType::bf16;
    s.in.insert(s.in.begin() + behind, {DType::u16, s.in[0].shape});
    s.fill.insert(s.fill.begin() + behind, {.kind = ir::Fill::ids, .low = 0.0, .high = 65536.0});
    if (!s.shipped) s.fill.back().high = 1.0;  // commit is 0
  }
  return list;
}

}  // namespace ringmaster::ops
