// SPDX-License-Identifier: Apache-2.0
#include "passes/forward.h"

#include <algorithm>

namespace ringmaster::passes {

bool adds_first(const ir::Node& node) {
  return node.op->traits.adds_before && std::ssize(node.inputs) > node.op->min_inputs;
}

bool lies_in_its_input(const ir::Graph& graph, const ir::Node& node) {
  if (node.op->view == nullptr || node.inputs.empty() || node.outputs.empty()) return false;
  const auto in = graph.input_types(node), out = graph.output_types(node);
  return node.op->view({node.attrs, in, out}, 0).has_value();
}

namespace {

// Does it add one of its outputs to a sum over the grains?
bool adds_gradient(const ir::Node& node) { return node.op->traits.sums >= 0 && !node.attrs.text("into_sum").empty(); }
}  // namespace

std::vector<bool> is_gradient(const ir::Graph& graph) {
  std::vector<bool> summed(static_cast<size_t>(graph.num_values())), read(summed);
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      for (const ir::ValueId v : node.inputs)
        (node.op->traits.role == ir::Role::grain_sum ? summed : read)[static_cast<size_t>(v)] = true;
    }
  }
  for (size_t v = 0; v < summed.size(); ++v) summed[v] = summed[v] && !read[v];
  return summed;
}

int64_t saved_bytes(const ir::Graph& graph) {
  int64_t bytes = 0;
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    if (graph.regions()[r].kind != ir::RegionKind::for_grain) continue;
    const Forward forward(graph, static_cast<int>(r));
    for (const Saveable& s : forward.values())
      if (!s.wants.empty()) bytes += graph.type(s.value).bytes();
  }
  return bytes;
}

bool runs_once(const ir::Node& node) {
  const bool has_kernel = node.op->cpu != nullptr || node.op->view != nullptr;
  return node.op->traits.role != ir::Role::compute || !has_kernel || adds_gradient(node);
}

Forward::Forward(const ir::Graph& graph, int region)
    : region_(region),
      in_(static_cast<size_t>(graph.num_nodes())),
      view_(static_cast<size_t>(graph.num_nodes())),
      place_(static_cast<size_t>(graph.num_nodes()), -1),
      index_(static_cast<size_t>(graph.num_values()), nothing),
      gradient_(is_gradient(graph)) {
  find_forward(graph);
  find_values(graph);
  find_wants(graph);
}

void Forward::find_forward(const ir::Graph& graph) {
  const std::vector<ir::NodeId>& nodes = graph.regions()[static_cast<size_t>(region_)].nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const ir::Node& node = graph.node(nodes[i]);
    place_[static_cast<size_t>(nodes[i])] = static_cast<int64_t>(i);
    view_[static_cast<size_t>(nodes[i])] = lies_in_its_input(graph, node);
    in_[static_cast<size_t>(nodes[i])] = node.op->traits.role == ir::Role::grain_gather;
  }
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    if (!has(*it)) continue;
    for (const ir::ValueId v : graph.node(*it).inputs) {
      const ir::NodeId maker = graph.value(v).producer;
      if (graph.node(maker).region == region_) in_[static_cast<size_t>(maker)] = true;
    }
  }
}

void Forward::add(const ir::Graph& graph, ir::NodeId maker, size_t output, std::vector<int32_t> from, bool behind_sum) {
  const ir::Node& node = graph.node(maker);
  const auto is_one = [&](ir::ValueId v) { return bool{gradient_[static_cast<size_t>(v)]}; };
  if (is_one(node.outputs[output])) return;
  index_[static_cast<size_t>(node.outputs[output])] = static_cast<int32_t>(values_.size());
  values_.push_back({.value = node.outputs[output],
                     .maker = maker,
                     .from = std::move(from),
                     .behind_sum = behind_sum,
                     .fixed = runs_once(node) || std::ranges::any_of(node.outputs, is_one)});
}

std::vector<int32_t> Forward::indices(std::span<const ir::ValueId> inputs) const {
  std::vector<int32_t> out;
  for (const ir::ValueId v : inputs)
    if (const int32_t i = index(v); i != nothing) out.push_back(i);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void Forward::find_values(const ir::Graph& graph) {
  for (const ir::NodeId id : graph.regions()[static_cast<size_t>(region_)].nodes) {
    const ir::Node& node = graph.node(id);
    if (!has(id) || ir::is_leaf(node.op->traits.role) || ir::is_grain_exit(node.op->traits.role)) continue;
    if (is_view(id)) {
      for (const ir::ValueId v : node.outputs) index_[static_cast<size_t>(v)] = index(node.inputs[0]);
      continue;
    }
    const size_t last = node.outputs.size() - 1;
    if (!adds_first(node)) {
      for (size_t i = 0; i <= last; ++i) add(graph, id, i, indices(node.inputs), false);
      continue;
    }
    add(graph, id, last, indices(node.inputs), false);
    std::vector<ir::ValueId> behind(node.inputs.begin(), node.inputs.end() - 1);
    behind[0] = node.outputs[last];
    for (size_t i = 0; i < last; ++i) add(graph, id, i, indices(behind), true);
  }
}

void Forward::find_wants(const ir::Graph& graph) {
  std::vector<int32_t> seen = index_;  // through the views of backward too
  for (const ir::NodeId id : graph.regions()[static_cast<size_t>(region_)].nodes) {
    const int64_t at = place(id);
    const ir::Node& node = graph.node(id);
    if (is_view(id))
      for (const ir::ValueId v : node.outputs) seen[static_cast<size_t>(v)] = seen[static_cast<size_t>(node.inputs[0])];
    for (const ir::ValueId v : node.inputs) {
      const int32_t i = seen[static_cast<size_t>(v)];
      if (i == nothing) continue;
      Saveable& s = values_[static_cast<size_t>(i)];
      if (has(id)) {
        s.last_use = at;
      } else {
        s.wants.push_back(at);
      }
    }
  }
}

}  // namespace ringmaster::passes
