// SPDX-License-Identifier: Apache-2.0
// defs: the op records, for the list in all.cpp and for ops that build on each other's nodes.
#pragma once
#include "ir/op.h"

namespace ringmaster::ops {

// structure.cpp
extern const ir::OpDef input_op, scalar_op, state_read_op, state_write_op, output_op, loss_term_op, gradient_op,
    grain_gather_op;
// collectives.cpp
extern const ir::OpDef all_reduce_op, reduce_scatter_op, barrier_op;
// one file each
extern const ir::OpDef grain_sum_op, grids_op, next_grids_op, add_op, sub_op, mul_op, div_op, scale_op, shift_op,
    exp_op, log_op, sqrt_op, tanh_op, gelu_op, gelu_grad_op, cast_op, join_master_op, dropout_op, stop_gradient_op,
    full_op, reshape_op, transpose_op, broadcast_to_op, split_op, concat_op, sum_op, max_last_op, matmul_op,
    layer_norm_op, layer_norm_grad_op, layer_norm_grad_params_op, softmax_op, softmax_grad_op, softmax_at_op,
    embedding_op, embedding_grad_op, one_hot_op, cross_entropy_op, cross_entropy_grad_op, linear_cross_entropy_op,
    linear_cross_entropy_rows_grad_op, linear_cross_entropy_vocabulary_grad_op, square_sums_op, norm_op, part_op,
    decision_op, clip_factor_op, loss_scale_op, next_loss_scale_op, adam_op, sgd_op, average_op, relu_op, leaky_relu_op,
    attention_op, attention_grad_op, maximum_op, minimum_op, chain_op, greater_op, equal_op, uniform_op, normal_op,
    update_slice_op;

// `identity` of ops that change nothing but the type: output 0 is input 0 where the types agree.
inline std::optional<int> identity_if_same_type(const ir::OpView& v) {
  return v.in[0] == v.out[0] ? std::optional<int>(0) : std::nullopt;
}

}  // namespace ringmaster::ops
