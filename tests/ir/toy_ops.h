// SPDX-License-Identifier: Apache-2.0
// toy_ops: a handful of ops for tests of the IR, which must not know src/ops. Also what an outside project's ops look like.
#pragma once
#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "ir/builder.h"
#include "ir/eval.h"

namespace ringmaster::ir::toy {

inline Type typed(const OpView& v) { return {*dtype_from_name(v.attrs.text("dtype")), Shape(v.attrs.ints("shape"))}; }
inline std::vector<Type> same(const OpView& v) { return {v.in[0]}; }
inline std::vector<Type> nothing(const OpView&) { return {}; }
inline std::vector<Type> equal(const OpView& v) {
  if (v.in[0] != v.in[1]) {
    throw Error({.kind = ErrorKind::config, .message = "a is " + str(v.in[0]) + ", b is " + str(v.in[1])});
  }
  return {v.in[0]};
}

inline const AttrSpec leaf_attrs[] = {{"name", std::string(), true}, {"dtype", std::string("f32")}, {"shape", Ints{}}};
inline const AttrSpec name_attrs[] = {{"name", std::string(), true}};
inline const AttrSpec write_attrs[] = {{"name", std::string(), true}, {"begin", int64_t{-1}}};
inline const AttrSpec gather_attrs[] = {{"grains", int64_t{1}, true}};
// one attribute of every type
inline const AttrSpec every_attrs[] = {
    {"flag", false}, {"count", int64_t{3}}, {"ratio", 0.5}, {"label", std::string("x")}, {"dims", Ints{1, 2}}};

inline const OpDef input{.name = "input",
                         .doc = "",
                         .attrs = leaf_attrs,
                         .infer = [](const OpView& v) { return std::vector{typed(v)}; },
                         .traits = {.role = Role::input}};
inline const OpDef scalar{.name = "scalar",
                          .doc = "",
                          .attrs = leaf_attrs,
                          .infer = [](const OpView& v) { return std::vector{typed(v)}; },
                          .traits = {.role = Role::scalar}};
inline const OpDef state_read{.name = "state_read",
                              .doc = "",
                              .attrs = leaf_attrs,
                              .infer = [](const OpView& v) { return std::vector{typed(v)}; },
                              .traits = {.role = Role::state_read}};
inline const OpDef state_write{.name = "state_write",
                               .doc = "",
                               .attrs = write_attrs,
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .infer = nothing,
                               .traits = {.role = Role::state_write}};
inline const OpDef output{.name = "output",
                          .doc = "",
                          .attrs = name_attrs,
                          .min_inputs = 1,
                          .max_inputs = 1,
                          .infer = nothing,
                          .traits = {.role = Role::output}};
inline const OpDef grain_sum{.name = "grain_sum",
                             .doc = "",
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .infer = same,
                             .traits = {.role = Role::grain_sum}};
inline const OpDef grain_gather{.name = "grain_gather",
                                .doc = "",
                                .attrs = gather_attrs,
                                .min_inputs = 1,
                                .max_inputs = 1,
                                .infer =
                                    [](const OpView& v) {
                                      return std::vector<Type>{{v.in[0].dtype, {v.attrs.integer("grains")}}};
                                    },
                                .traits = {.role = Role::grain_gather}};
inline const OpDef plus{
    .name = "plus",
    .doc = "",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = equal,
    .reference = [](const OpView&, std::span<const RefTensor> in, std::span<RefTensor> out, const RunContext&) {
      for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = in[0].data[i] + in[1].data[i];
    }};
// the number of the grain's first sample, to see the context
inline const OpDef where{
    .name = "where",
    .doc = "",
    .infer =
        [](const OpView&) {
          return std::vector<Type>{{DType::f32, {}}};
        },
    .reference = [](const OpView&, std::span<const RefTensor>, std::span<RefTensor> out,
                    const RunContext& c) { out[0].data[0] = static_cast<double>(c.first_sample); }};
inline const OpDef halves{
    .name = "halves",
    .doc = "",
    .min_inputs = 1,
    .max_inputs = 1,
    .infer =
        [](const OpView& v) {
          return std::vector<Type>{{v.in[0].dtype, {v.in[0].shape[0] / 2}}, {v.in[0].dtype, {v.in[0].shape[0] / 2}}};
        },
    .reference =
        [](const OpView&, std::span<const RefTensor> in, std::span<RefTensor> out, const RunContext&) {
          const size_t half = out[0].data.size();
          for (size_t i = 0; i < half; ++i) {
            out[0].data[i] = in[0].data[i];
            out[1].data[i] = in[0].data[half + i];
          }
        }};
inline const OpDef every{
    .name = "every", .doc = "", .attrs = every_attrs, .min_inputs = 1, .max_inputs = 2, .infer = same};

inline const OpDef* find(std::string_view name) {
  for (const OpDef* op :
       {&input, &scalar, &state_read, &state_write, &output, &grain_sum, &grain_gather, &plus, &where, &halves, &every})
    if (op->name == name) return op;
  return nullptr;
}

}  // namespace ringmaster::ir::toy
