// SPDX-License-Identifier: Apache-2.0
// canonicalise: one spelling for one thing. Drops nodes that change nothing (their op says so), merges nodes that compute the
// same (same op, attributes, inputs, region), and removes what nobody reads. No number changes: every merge is bit-exact.
//   before   %2 = reshape(%1) shape=[2,3] ; %3 = exp(%2) ; %4 = exp(%2)          with %1 f32[2,3]
//   after    %3 = exp(%1)
#include <map>

#include "core/error.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::ValueId;

bool mergeable(Role role) {
  return role == Role::compute || role == Role::input || role == Role::scalar || role == Role::state_read;
}

// What two nodes must share to compute the same bits. (verify refuses a state_read behind a state_write.)
std::string key_of(const Node& node) {
  std::string key = fmt::format("{}|{}|{}|", node.region, node.op->name, fmt::join(node.inputs, ","));
  for (const auto& [name, value] : node.attrs.items()) key += fmt::format("{}={};", name, ir::str(value));
  return key;
}

// values that stand for others, resolved while walking forward
class Replacements {
 public:
  explicit Replacements(int64_t n) : of_(static_cast<size_t>(n)) {
    for (size_t i = 0; i < of_.size(); ++i) of_[i] = static_cast<ValueId>(i);
  }
  ValueId resolve(ValueId v) const { return of_[static_cast<size_t>(v)]; }
  void set(ValueId from, ValueId to) { of_[static_cast<size_t>(from)] = to; }

 private:
  std::vector<ValueId> of_;
};

int64_t remove_unread(Graph& graph) {
  std::vector<int> users(static_cast<size_t>(graph.num_values()));
  int64_t removed = 0;
  for (auto region = graph.regions().rbegin(); region != graph.regions().rend(); ++region) {
    for (auto it = region->nodes.rbegin(); it != region->nodes.rend(); ++it) {
      Node& node = graph.node(*it);
      bool read = ir::is_effect(node.op->traits.role);
      for (const ValueId v : node.outputs) read = read || users[static_cast<size_t>(v)] > 0;
      if (!read) {
        node.dead = true;
        ++removed;
        continue;
      }
      for (const ValueId v : node.inputs) ++users[static_cast<size_t>(v)];
    }
  }
  return removed;
}

}  // namespace

std::string canonicalise(Graph& graph, const Settings&) {
  Replacements replaced(graph.num_values());
  std::map<std::string, NodeId> seen;
  int64_t merged = 0, dropped = 0;
  for (const ir::Region& region : graph.regions()) {
    for (const NodeId id : region.nodes) {
      Node& node = graph.node(id);
      if (node.dead) continue;
      for (ValueId& v : node.inputs) v = replaced.resolve(v);
      if (node.op->identity != nullptr) {
        const auto in = graph.input_types(node), out = graph.output_types(node);
        if (const auto same = node.op->identity({node.attrs, in, out})) {
          replaced.set(node.outputs[0], node.inputs[static_cast<size_t>(*same)]);
          node.dead = true;
          ++dropped;
          continue;
        }
      }
      if (!mergeable(node.op->traits.role)) continue;
      const auto [it, is_new] = seen.emplace(key_of(node), id);
      if (is_new) continue;
      for (size_t i = 0; i < node.outputs.size(); ++i) replaced.set(node.outputs[i], graph.node(it->second).outputs[i]);
      node.dead = true;
      ++merged;
    }
  }
  graph.compact();
  const int64_t unread = remove_unread(graph);
  graph.compact();
  return fmt::format("{} identities, {} duplicates, {} unread nodes removed", dropped, merged, unread);
}

}  // namespace ringmaster::passes
