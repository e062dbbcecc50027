// SPDX-License-Identifier: Apache-2.0
// collectives: what ranks exchange, as nodes. They have no kernel: exec hands them to comm (exec/exchange.h).
//   all_reduce       each input summed over the ranks; over those of its node alone where `within_node`
//   reduce_scatter   each input summed over the ranks, of which this one then holds its part: of all inputs, laid out as ir::bucket_offsets
//                    says, the elements [bounds[r], bounds[r + 1]), r the rank within the node. The rest is undefined.
//   barrier          the ranks of a node wait for each other: what one has written the others may read from here on
//   in, out: f32 and i32 tensors, or f64 ones; each output lies where its input does
#include "ops/defs.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

using ir::AttrSpec;

std::vector<ir::Type> infer(const ir::OpView& v) { return {v.in.begin(), v.in.end()}; }

const AttrSpec all_reduce_attrs[] = {{"bucket", int64_t{0}, true}, {"within_node", false}};
const AttrSpec reduce_scatter_attrs[] = {{"bucket", int64_t{0}, true}, {"bounds", ir::Ints{}, true}};

constexpr ir::Traits traits{
    .role = ir::Role::collective, .cost = ir::CostClass::communication, .in_place = true, .differentiable = false};

}  // namespace

const OpDef all_reduce_op{.name = "all_reduce",
                          .doc = "each input summed over the ranks",
                          .attrs = all_reduce_attrs,
                          .min_inputs = 1,
                          .max_inputs = -1,
                          .infer = infer,
                          .traits = traits};
const OpDef reduce_scatter_op{.name = "reduce_scatter",
                              .doc = "each input summed over the ranks; this one holds its part of them",
                              .attrs = reduce_scatter_attrs,
                              .min_inputs = 1,
                              .max_inputs = -1,
                              .infer = infer,
                              .traits = traits};
const OpDef barrier_op{
    .name = "barrier", .doc = "the ranks of a node wait for each other", .infer = infer, .traits = traits};

std::vector<Tensor> all_reduce(std::span<const Tensor> xs, int64_t bucket, bool within_node) {
  return xs.front().builder().emit(all_reduce_op, xs, {{"bucket", bucket}, {"within_node", within_node}});
}
std::vector<Tensor> reduce_scatter(std::span<const Tensor> xs, int64_t bucket, std::vector<int64_t> bounds) {
  return xs.front().builder().emit(reduce_scatter_op, xs,
                                   {{"bucket", bucket}, {"bounds", ir::Ints(std::move(bounds))}});
}
void barrier(ir::Builder& b) { b.emit(barrier_op, {}); }

}  // namespace ringmaster::ops
