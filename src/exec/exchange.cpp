// SPDX-License-Identifier: Apache-2.0
#include "exec/exchange.h"

#include <cstring>

#include "core/error.h"
#include "exec/prepare.h"

namespace ringmaster::exec {
namespace {

using comm::Operation;

// What of a collective node does not depend on where it runs.
struct Call {
  Operation operation;
  bool node_alone;  // nothing leaves the node
  DType dtype;
  int64_t elements;
  std::vector<int64_t> bounds;  // of a reduce_scatter
};

Call call_of(const ir::Graph& graph, const ir::Node& node) {
  if (node.inputs.empty()) return {Operation::barrier, true, DType::i32, 0, {}};
  const DType dtype = collective_dtype(graph, node);
  const int64_t elements = ir::bucket_offsets(graph, node).back() / size_of(dtype);
  if (node.attrs.find("bounds") != nullptr)
    return {Operation::reduce_scatter, false, dtype, elements, node.attrs.ints("bounds")};
  return {Operation::all_reduce, node.attrs.flag("within_node"), dtype, elements, {}};
}

comm::NodeVector vector_of(const Call& call) {
  return {.dtype = call.dtype, .elements = call.elements, .bounds = call.bounds};
}

comm::RingShape lane_shape(const Call& call, const Team& team) {
  const comm::Chunk own = comm::node_chunk(vector_of(call), team.node_rank, team.node_size);
  return {.elements = own.end - own.begin,
          .element_bytes = size_of(call.dtype),
          .rank = team.node,
          .size = team.nodes(),
          .segment_bytes = team.segment_bytes,
          .choice = team.choice};
}

bool takes_messages(const Call& call, const Team& team) { return !call.node_alone && team.nodes() > 1; }

}  // namespace

Exchanged exchanged(const ir::Graph& graph, const ir::Node& node, const Team& team) {
  const Call call = call_of(graph, node);
  Exchanged all;
  if (takes_messages(call, team)) all.sent = comm::all_reduce_sent(lane_shape(call, team));
  const Operation operation = call.operation == Operation::barrier ? Operation::all_gather : call.operation;
  if (team.shares()) all.read = comm::node_bytes_read(operation, vector_of(call), team.node_rank, team.node_size);
  return all;
}

Exchanged exchanged(const ir::Graph& graph, const Team& team) {
  Exchanged total;
  for (const ir::Region& region : graph.regions())
    for (const ir::NodeId id : region.nodes)
      if (graph.node(id).op->traits.role == ir::Role::collective) total += exchanged(graph, graph.node(id), team);
  return total;
}

std::string how(const ir::Graph& graph, const ir::Node& node, const Team& team) {
  const Call call = call_of(graph, node);
  if (!takes_messages(call, team)) return team.shares() ? "node" : "none";
  const comm::RingShape lane = lane_shape(call, team);
  const comm::Algorithm algorithm =
      team.choice.of({Operation::all_reduce, lane.elements * lane.element_bytes, lane.size, lane.segment_bytes});
  return fmt::format("{}{}", team.shares() ? "node and " : "", comm::name(algorithm));
}

int64_t exchange_scratch_bytes(const ir::Graph& graph, const ir::Node& node, const Team& team) {
  const Call call = call_of(graph, node);
  return takes_messages(call, team) ? comm::scratch_bytes(lane_shape(call, team)) : 0;
}

Exchange::Exchange(const ir::Graph& graph, const ir::Node& node, Fabric& fabric, std::byte* data, int64_t offset,
                   std::span<std::byte> scratch)
    : fabric_(fabric), name_(node.scope), data_(data), scratch_(scratch), lane_(fabric.comm()) {
  const Call call = call_of(graph, node);
  const Team& team = fabric.team();
  operation_ = call.operation;
  across_ = takes_messages(call, team);
  dtype_ = call.dtype;
  elements_ = call.elements;
  bounds_ = call.bounds;
  in_segment_ = offset - fabric.exchange_at();
  own_ = comm::node_chunk(vector_of(call), team.node_rank, team.node_size);
  CHECK(bounds_.empty() || team.shares(), "{} at {}: nobody shares memory with this rank", node.op->name, node.scope);
  const std::vector<int64_t> offsets = ir::bucket_offsets(graph, node);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const int64_t used = offsets[i] + graph.type(node.inputs[i]).bytes();
    if (used < offsets[i + 1]) gaps_.emplace_back(data + used, offsets[i + 1] - used);
  }
}

void Exchange::run() {
  for (const auto& [gap, bytes] : gaps_) std::memset(gap, 0, static_cast<size_t>(bytes));
  const bool shares = fabric_.team().shares();
  const comm::NodeVector bucket{
      .name = name_, .dtype = dtype_, .offset = in_segment_, .elements = elements_, .bounds = bounds_};
  const bool wanted_whole = operation_ == Operation::all_reduce;
  if (operation_ == Operation::barrier) {
    if (!shares) return;
    fabric_.node().start_all_gather({.name = name_, .dtype = dtype_}, comm::NodeCollective::in_place);
    return fabric_.node().wait();
  }
  if (shares) {
    if (wanted_whole && !across_)
      fabric_.node().start_all_reduce(bucket, comm::NodeCollective::in_place);
    else
      fabric_.node().start_reduce_scatter(bucket);
    fabric_.node().wait();
  }
  if (!across_) return;
  comm::start_all_reduce(lane_, {.name = name_,
                                 .dtype = dtype_,
                                 .data = data_ + own_.begin * size_of(dtype_),
                                 .elements = own_.end - own_.begin,
                                 .scratch = scratch_,
                                 .group = fabric_.lane()});
  lane_.wait();
  if (!shares || !wanted_whole) return;
  fabric_.node().start_all_gather(bucket, comm::NodeCollective::in_place);
  fabric_.node().wait();
}

}  // namespace ringmaster::exec
