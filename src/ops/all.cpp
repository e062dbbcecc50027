// SPDX-License-Identifier: Apache-2.0
// all: the explicit list of ops (static registration objects are dropped by static linking).
#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "ops/chain.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/registry.h"

namespace ringmaster::ops {
namespace {

// sorted by name
constexpr std::array builtin{
    &adam_op,
    &add_op,
    &all_reduce_op,
    &attention_op,
    &attention_grad_op,
    &average_op,
    &barrier_op,
    &broadcast_to_op,
    &cast_op,
    &chain_op,
    &clip_factor_op,
    &concat_op,
    &cross_entropy_op,
    &cross_entropy_grad_op,
    &decision_op,
    &div_op,
    &dropout_op,
    &embedding_op,
    &embedding_grad_op,
    &equal_op,
    &exp_op,
    &full_op,
    &gelu_op,
    &gelu_grad_op,
    &gradient_op,
    &grain_gather_op,
    &grain_sum_op,
    &greater_op,
    &grids_op,
    &input_op,
    &join_master_op,
    &layer_norm_op,
    &layer_norm_grad_op,
    &layer_norm_grad_params_op,
    &leaky_relu_op,
    &linear_cross_entropy_op,
    &linear_cross_entropy_rows_grad_op,
    &linear_cross_entropy_vocabulary_grad_op,
    &log_op,
    &loss_scale_op,
    &loss_term_op,
    &matmul_op,
    &max_last_op,
    &maximum_op,
    &minimum_op,
    &mul_op,
    &next_grids_op,
    &next_loss_scale_op,
    &norm_op,
    &normal_op,
    &one_hot_op,
    &output_op,
    &part_op,
    &reduce_scatter_op,
    &relu_op,
    &reshape_op,
    &scalar_op,
    &scale_op,
    &sgd_op,
    &shift_op,
    &softmax_op,
    &softmax_at_op,
    &softmax_grad_op,
    &split_op,
    &sqrt_op,
    &square_sums_op,
    &state_read_op,
    &state_write_op,
    &stop_gradient_op,
    &sub_op,
    &sum_op,
    &tanh_op,
    &transpose_op,
    &uniform_op,
    &update_slice_op,
};

std::vector<const OpDef*>& list() {
  static std::vector<const OpDef*> ops(builtin.begin(), builtin.end());
  return ops;
}

// Can a chain's program say it?
bool is_word(const ir::AttrSpec& spec) {
  return std::holds_alternative<double>(spec.initial) || std::holds_alternative<int64_t>(spec.initial) ||
         std::holds_alternative<std::string>(spec.initial);
}

}  // namespace

std::span<const OpDef* const> all() { return list(); }

const OpDef* find(std::string_view name) {
  const auto it = std::ranges::find_if(list(), [&](const OpDef* op) { return op->name == name; });
  return it == list().end() ? nullptr : *it;
}

void add(const OpDef& op) {
  CHECK(op.name != nullptr && op.doc != nullptr && op.infer != nullptr, "an op has a name, a doc and infer");
  CHECK(op.traits.role == ir::Role::compute, "`{}`: only ops of role compute can be added", op.name);
  CHECK(op.cpu != nullptr && op.reference != nullptr && op.samples != nullptr,
        "`{}`: an op has a kernel (cpu), a reference to judge it by, and samples", op.name);
  CHECK(op.tile == nullptr ||
            (op.max_inputs >= 0 && op.max_inputs <= most_tile_inputs && std::ranges::all_of(op.attrs, is_word)),
        "`{}`: an op with a tile has at most {} inputs, and attributes that are numbers or words", op.name,
        most_tile_inputs);
  if (const OpDef* other = find(op.name)) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("two ops are called `{}`: \"{}\" is there already, \"{}\" was added", op.name,
                                        other->doc, op.doc),
                 .found = op.name,
                 .expected = "a name that `ops` does not list",
                 .cure = "rename the one in the Registry of this program's main()"});
  }
  const auto at = std::ranges::find_if(list(), [&](const OpDef* o) { return std::string_view(o->name) > op.name; });
  list().insert(at, &op);
}

}  // namespace ringmaster::ops
