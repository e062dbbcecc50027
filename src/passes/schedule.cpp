// SPDX-License-Identifier: Apache-2.0
// schedule: the order of nodes within a region. Grain exits run right behind the last of their inputs, so that a weight
// gradient lives for one instruction; nodes without inputs (constants, reads) run right before their first user. The rest keeps trace order,
// which is depth first and close to the least peak for forward and backward chains.
#include <algorithm>

#include "core/error.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

// Who reads a value: anyone, and which grain exits, in the order of the run.
class Readers {
 public:
  explicit Readers(const ir::Graph& graph)
      : any_(static_cast<size_t>(graph.num_values())), exits_(static_cast<size_t>(graph.num_values())) {
    for (const ir::Region& region : graph.regions()) {
      for (const ir::NodeId id : region.nodes) {
        const ir::Node& node = graph.node(id);
        if (node.dead) continue;
        for (const ir::ValueId v : node.inputs) {
          any_[static_cast<size_t>(v)] = true;
          if (ir::is_grain_exit(node.op->traits.role)) exits_[static_cast<size_t>(v)].push_back(id);
        }
      }
    }
  }
  bool any(ir::ValueId v) const { return any_[static_cast<size_t>(v)]; }
  const std::vector<ir::NodeId>& exits(ir::ValueId v) const { return exits_[static_cast<size_t>(v)]; }

 private:
  std::vector<bool> any_;                       // by value
  std::vector<std::vector<ir::NodeId>> exits_;  // by value
};

}  // namespace

std::string schedule(ir::Graph& graph, const Settings&) {
  int64_t moved = 0;
  const Readers readers(graph);
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const std::vector<ir::NodeId> before = graph.regions()[r].nodes;
    std::vector<bool> placed(static_cast<size_t>(graph.num_nodes()));
    std::vector<ir::NodeId> after;
    const auto has_all = [&](const ir::Node& node) {
      return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ir::ValueId v) {
        const ir::NodeId source = graph.value(v).producer;
        return graph.node(source).region != static_cast<int>(r) || placed[static_cast<size_t>(source)];
      });
    };
    const auto put = [&](ir::NodeId id) {
      placed[static_cast<size_t>(id)] = true;
      after.push_back(id);
    };
    for (const ir::NodeId id : before) {
      const ir::Node& node = graph.node(id);
      if (placed[static_cast<size_t>(id)]) continue;
      const bool unread = std::ranges::none_of(node.outputs, [&](ir::ValueId v) { return readers.any(v); });
      if (node.inputs.empty() && !unread && !ir::is_effect(node.op->traits.role))
        continue;  // pulled in by its first user
      for (const ir::ValueId v : node.inputs) {
        const ir::NodeId source = graph.value(v).producer;
        if (graph.node(source).region == static_cast<int>(r) && !placed[static_cast<size_t>(source)]) put(source);
      }
      put(id);
      for (const ir::ValueId v : node.outputs)
        for (const ir::NodeId exit : readers.exits(v))
          if (!placed[static_cast<size_t>(exit)] && has_all(graph.node(exit))) put(exit);
    }
    // nodes without inputs that only later regions read
    for (const ir::NodeId id : before)
      if (!placed[static_cast<size_t>(id)]) put(id);
    CHECK(after.size() == before.size(), "schedule lost nodes");
    for (size_t i = 0; i < before.size(); ++i) moved += before[i] != after[i] ? 1 : 0;
    graph.reorder(static_cast<int>(r), after);
  }
  return fmt::format("{} nodes moved", moved);
}

}  // namespace ringmaster::passes
