// SPDX-License-Identifier: Apache-2.0
#include "train/wire.h"

#include "exec/prepare.h"
#include "train/machine.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ringmaster::train {
namespace {

using nlohmann::json;

comm::RingShape shaped(comm::RingShape who, int64_t elements, int64_t element_bytes) {
  who.elements = elements;
  who.element_bytes = element_bytes;
  return who;
}

std::string pack(const ErrorInfo& e) {
  return json{
      static_cast<int>(e.kind), e.message, e.file, e.line, e.column, e.key, e.found, e.expected, e.cure, e.excerpt}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

ErrorInfo unpack(const std::string& text) {
  const json a = json::parse(text);
  return {.kind = static_cast<ErrorKind>(a[0].get<int>()),
          .message = a[1],
          .file = a[2],
          .line = a[3],
          .column = a[4],
          .key = a[5],
          .found = a[6],
          .expected = a[7],
          .cure = a[8],
          .excerpt = a[9]};
}

}  // namespace

comm::RingShape ring_of(const comm::Communicator& comm) {
  return {.rank = comm.rank(), .size = comm.size(), .segment_bytes = comm.options().segment_bytes};
}

comm::Sent program_sent(const ir::Graph& graph, comm::RingShape who) {
  comm::Sent total;
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      if (graph.node(id).op->traits.role != ir::Role::collective) continue;
      const comm::Sent sent =
          comm::all_reduce_sent(shaped(who, exec::collective_elements(graph, graph.node(id)), size_of(DType::f32)));
      total.bytes += sent.bytes;
      total.messages += sent.messages;
    }
  }
  return total;
}

comm::Sent step_sent(const ir::Graph& graph, int64_t num_scalars, const comm::RingShape& who) {
  comm::Sent sent = program_sent(graph, who);
  const comm::Sent scalars = comm::all_reduce_sent(shaped(who, num_scalars, size_of(DType::i64)));
  sent.bytes += scalars.bytes;
  sent.messages += scalars.messages;
  return sent;
}

void Wire::add(const comm::Sent& sent) {
  planned_.bytes += sent.bytes;
  planned_.messages += sent.messages;
}

void Wire::ran(const ir::Graph& graph) { add(program_sent(graph, ring_of(comm_))); }

void Wire::sum(std::string_view name, std::span<int64_t> values) {
  const comm::RingShape shape = shaped(ring_of(comm_), static_cast<int64_t>(values.size()), size_of(DType::i64));
  add(comm::all_reduce_sent(shape));
  scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(comm::scratch_bytes(shape))));
  comm::all_reduce(comm_, comm::vector_of(name, values, scratch_));
}

std::vector<std::string> Wire::gather(std::string_view name, std::string_view mine) {
  std::vector<std::string> all = comm::all_gather_bytes(comm_, name, mine);
  const auto ranks = static_cast<int64_t>(all.size());
  size_t longest = 0;
  for (const std::string& text : all) longest = std::max(longest, text.size());
  add(comm::all_gather_sent(shaped(ring_of(comm_), ranks, size_of(DType::i64))));
  add(comm::all_gather_sent(shaped(ring_of(comm_), ranks * static_cast<int64_t>(longest), size_of(DType::u8))));
  return all;
}

void Wire::agree(std::string_view name, const std::function<void()>& body) {
  std::string problem;
  try {
    body();
  } catch (const std::exception& e) {
    ErrorInfo info = describe(e);
    if (!is_root()) info.message = fmt::format("rank {} on {}: {}", comm_.rank(), host_name(), info.message);
    problem = pack(info);
  }
  for (const std::string& found : gather(name, problem))
    if (!found.empty()) throw AgreedError(unpack(found));
}

}  // namespace ringmaster::train
