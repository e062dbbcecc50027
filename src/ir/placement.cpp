// SPDX-License-Identifier: Apache-2.0
#include "ir/placement.h"

#include <algorithm>

namespace ringmaster::ir {

namespace {

constexpr int64_t page = 4096;
int64_t whole_pages(int64_t bytes) { return (bytes + page - 1) / page * page; }

}  // namespace

StateLayout lay_out(const std::vector<State>& states, int64_t exchange_bytes) {
  StateLayout layout{.exchange_bytes = whole_pages(exchange_bytes)};
  const auto holds = [&](const std::string& name) {
    return std::ranges::any_of(states, [&](const State& s) { return s.name == name; });
  };
  const auto add = [&](const State& state) {
    const int64_t bytes = align_up(state.type.bytes());
    layout.offset[state.name] = layout.end;
    layout.end += bytes;
    if (state.role == StateRole::weight)
      (holds(shadow_name(state.name)) ? layout.master_bytes : layout.weight_bytes) += bytes;
    else if (state.role == StateRole::shadow)
      layout.weight_bytes += bytes;
    else if (state.role == StateRole::remainder)
      layout.master_bytes += bytes;
    else if (state.role != StateRole::cache)
      layout.optimizer_bytes += bytes;  // caches count as activations
  };
  for (const bool divided : {true, false}) {
    for (const State& state : states)
      if (is_divided(state.role) == divided && !holds(remainder_name(state.name))) add(state);
    if (!divided || exchange_bytes == 0) continue;
    layout.shared_bytes = whole_pages(layout.end);
    layout.end = layout.shared_bytes + layout.exchange_bytes;
  }
  return layout;
}

std::vector<int64_t> bucket_offsets(const Graph& graph, const Node& collective) {
  std::vector<int64_t> offsets{0};
  for (const ValueId v : collective.inputs) offsets.push_back(offsets.back() + align_up(graph.type(v).bytes()));
  return offsets;
}

int64_t exchanged_bytes(const Graph& graph) {
  int64_t bytes = 0;
  for (const Region& region : graph.regions())
    for (const NodeId id : region.nodes)
      if (graph.node(id).op->traits.role == Role::collective) bytes += bucket_offsets(graph, graph.node(id)).back();
  return bytes;
}

const char* name(Category category) {
  switch (category) {
    case Category::weights: return "weights";
    case Category::master: return "master";
    case Category::optimizer: return "optimizer";
    case Category::gradients: return "gradients";
    case Category::activations: return "activations";
    case Category::workspace: return "workspace";
    case Category::communication: return "communication";
    case Category::batches: return "batches";
  }
  return "activations";
}

Fullest fullest(const std::vector<Buffer>& buffers) {
  std::map<int64_t, int64_t> change;  // of the bytes that matter, by position
  for (const Buffer& buffer : buffers) {
    change[buffer.first] += buffer.bytes;
    change[buffer.last + 1] -= buffer.bytes;
  }
  Fullest most;
  int64_t bytes = 0;
  for (const auto& [position, difference] : change) {
    bytes += difference;
    if (bytes > most.bytes) most = {position, bytes};
  }
  return most;
}

std::map<Category, int64_t> by_category(const Placement& placement, const StateLayout& states) {
  std::map<Category, int64_t> bytes;
  bytes[Category::weights] = states.weight_bytes;
  bytes[Category::master] = states.master_bytes;
  bytes[Category::optimizer] = states.optimizer_bytes;
  const int64_t peak = fullest(placement.buffers).position;
  for (const Buffer& buffer : placement.buffers) {
    const bool matters = buffer.first <= peak && peak <= buffer.last;
    if (matters && buffer.category != Category::activations) bytes[buffer.category] += buffer.bytes;
  }
  int64_t known = 0;
  for (const auto& [category, n] : bytes) known += n;
  bytes[Category::activations] = placement.peak_bytes - known;
  return bytes;
}

}  // namespace ringmaster::ir
