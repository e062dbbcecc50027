// SPDX-License-Identifier: Apache-2.0
// all: the explicit list of ops (static registration objects are dropped by static linking).
#include <algorithm>
#include <array>

#include "ops/defs.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

// sorted by name
constexpr std::array list{
    &adam_op,
    &add_op,
    &all_reduce_op,
    &broadcast_to_op,
    &cast_op,
    &clip_factor_op,
    &concat_op,
    &cross_entropy_op,
    &cross_entropy_grad_op,
    &decision_op,
    &div_op,
    &dropout_op,
    &embedding_op,
    &embedding_grad_op,
    &exp_op,
    &full_op,
    &gelu_op,
    &gelu_grad_op,
    &global_norm_op,
    &gradient_op,
    &grain_gather_op,
    &grain_sum_op,
    &input_op,
    &layer_norm_op,
    &layer_norm_grad_op,
    &layer_norm_grad_params_op,
    &log_op,
    &loss_term_op,
    &matmul_op,
    &max_last_op,
    &mul_op,
    &one_hot_op,
    &output_op,
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
    &state_read_op,
    &state_write_op,
    &stop_gradient_op,
    &sub_op,
    &sum_op,
    &tanh_op,
    &transpose_op,
    &update_slice_op,
};

}  // namespace

std::span<const OpDef* const> all() { return list; }

const OpDef* find(std::string_view name) {
  const auto it = std::find_if(list.begin(), list.end(), [&](const OpDef* op) { return op->name == name; });
  return it == list.end() ? nullptr : *it;
}

}  // namespace ringmaster::ops
