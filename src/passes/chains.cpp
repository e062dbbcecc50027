// SPDX-License-Identifier: Apache-2.0
// The nodes of a group become one node, at the place of one of them: behind whatever the group reads and before whoever reads it. So
// the order of all other nodes stands, there is no cycle, and each group is convex. Groups grow along the order of the nodes.
#include "passes/chains.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "core/error.h"
#include "core/with_float.h"
#include "ops/chain.h"
#include "ops/defs.h"
#include "passes/order.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

constexpr int64_t nowhere = Order::nowhere;
// A longer chain spares no more: 64 instructions in L1 take longer than the pass over memory around them.
constexpr size_t most_members = 64;

bool chainable(const Graph& graph, const Node& node) {
  const auto is_tiled = [&](ValueId v) { return is_kernel_float(graph.type(v).dtype); };
  return node.op->tile != nullptr && std::ranges::all_of(node.inputs, is_tiled) &&
         std::ranges::all_of(node.outputs, is_tiled);
}

class Groups {
 public:
  Groups(const Graph& graph, int region)
      : graph_(graph),
        list_(graph.regions()[static_cast<size_t>(region)].nodes),
        users_(graph.users()),
        place_(static_cast<size_t>(graph.num_nodes()), nowhere),
        group_(static_cast<size_t>(graph.num_nodes()), nowhere),
        order_(graph, region) {
    for (size_t i = 0; i < list_.size(); ++i) {
      const Node& node = graph.node(list_[i]);
      place_[static_cast<size_t>(list_[i])] = static_cast<int64_t>(i);
      if (node.op->traits.role == ir::Role::state_write)
        written_.emplace(node.attrs.text("name"), static_cast<int64_t>(i));
    }
    for (size_t i = 0; i < list_.size(); ++i)
      if (chainable(graph, graph.node(list_[i]))) add(static_cast<int64_t>(i));
  }

  bool contains(size_t group, NodeId id) const {
    return group_[static_cast<size_t>(id)] == static_cast<int64_t>(group);
  }
  size_t size() const { return members_.size(); }
  // positions in the region's list, ascending; empty where a group has joined another
  const std::vector<int64_t>& members(size_t group) const { return members_[group]; }
  int64_t place(size_t group) const { return place_[static_cast<size_t>(node_at(members_[group].front()))]; }
  bool leaves(size_t group, ValueId v) const {
    const auto& users = users_[static_cast<size_t>(v)];
    return users.empty() || std::ranges::any_of(users, [&](NodeId user) { return !contains(group, user); });
  }

 private:
  NodeId node_at(int64_t position) const { return list_[static_cast<size_t>(position)]; }

  // A node joins the groups of those it reads, one after the other, as far as that goes.
  void add(int64_t position) {
    const Node& node = graph_.node(node_at(position));
    group_[static_cast<size_t>(node_at(position))] = static_cast<int64_t>(members_.size());
    members_.push_back({position});
    for (const ValueId v : node.inputs) {
      const NodeId maker = graph_.value(v).producer;
      const int64_t theirs = group_[static_cast<size_t>(maker)], ours = group_[static_cast<size_t>(node_at(position))];
      if (graph_.node(maker).region != node.region || theirs == nowhere || theirs == ours) continue;
      if (graph_.type(v).shape != graph_.type(node.outputs[0]).shape) continue;
      join(static_cast<size_t>(theirs), static_cast<size_t>(ours));
    }
  }

  void join(size_t a, size_t b) {
    if (members_[a].size() + members_[b].size() > most_members) return;
    std::vector<int64_t> all;
    std::ranges::merge(members_[a], members_[b], std::back_inserter(all));
    const int64_t place = place_of(all, a, b);
    if (place == nowhere) return;
    for (const int64_t member : all) {
      group_[static_cast<size_t>(node_at(member))] = static_cast<int64_t>(a);
      place_[static_cast<size_t>(node_at(member))] = place;
    }
    members_[a] = std::move(all);
    members_[b].clear();
  }

  // Where the state that this node reads is overwritten: an old value is read ahead of that.
  int64_t written_after(const Node& node) const {
    const auto write =
        node.op->traits.role == ir::Role::state_read ? written_.find(node.attrs.text("name")) : written_.end();
    return write == written_.end() ? std::numeric_limits<int64_t>::max() : write->second;
  }

  // The last place of a member at which all of them can stand; nowhere: there is none. None is moved ahead of a product that it
  // stood behind: its result would wait in memory for long, as that of backward would during forward.
  int64_t place_of(const std::vector<int64_t>& all, size_t a, size_t b) const {
    int64_t after = nowhere, before = std::numeric_limits<int64_t>::max();
    const auto outside = [&](NodeId id) { return !contains(a, id) && !contains(b, id); };
    for (const int64_t member : all) {
      const Node& node = graph_.node(node_at(member));
      for (const ValueId v : node.inputs) {
        const NodeId maker = graph_.value(v).producer;
        if (graph_.node(maker).region == node.region && outside(maker))
          after = std::max(after, place_[static_cast<size_t>(maker)]);
        before = std::min(before, written_after(graph_.node(maker)));
      }
      for (const NodeId user : users_[static_cast<size_t>(node.outputs[0])])
        if (graph_.node(user).region == node.region && outside(user))
          before = std::min(before, place_[static_cast<size_t>(user)]);
    }
    const auto place = std::ranges::find_if(all.rbegin(), all.rend(), [&](int64_t at) { return at < before; });
    if (place == all.rend() || *place <= after) return nowhere;
    const bool waits = order_.product_between(node_at(*place), node_at(all.back()));
    return waits ? nowhere : *place;
  }

  const Graph& graph_;
  std::vector<NodeId> list_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<int64_t> place_;              // by node, in the order that stands so far; one for all of a group
  std::vector<int64_t> group_;              // by node
  Order order_;                             // before any group was formed; place_ moves on
  std::map<std::string, int64_t> written_;  // where each state is written in this region
  std::vector<std::vector<int64_t>> members_;
};

// Values that give way to the results of chains.
class Replaced {
 public:
  explicit Replaced(const Graph& graph) : by_(static_cast<size_t>(graph.num_values()), ir::none) {}
  ValueId now(ValueId v) const {
    const auto i = static_cast<size_t>(v);
    return i < by_.size() && by_[i] != ir::none ? by_[i] : v;
  }
  void set(ValueId from, ValueId to) { by_[static_cast<size_t>(from)] = to; }
  void apply(Graph& graph) const {
    for (NodeId id = 0; id < graph.num_nodes(); ++id)
      for (ValueId& v : graph.node(id).inputs) v = now(v);
  }

 private:
  std::vector<ValueId> by_;
};

// Adds the node that stands for a group.
NodeId emit(Graph& graph, int region, const std::vector<NodeId>& members, const std::vector<bool>& leaves,
            Replaced& replaced) {
  std::vector<ValueId> inputs;
  for (const NodeId id : members)
    for (const ValueId v : graph.node(id).inputs)
      if (std::ranges::find(members, graph.value(v).producer) == members.end() &&
          std::ranges::find(inputs, v) == inputs.end())
        inputs.push_back(v);
  std::map<ValueId, size_t> number;
  for (const ValueId v : inputs) number.emplace(v, number.size());
  std::vector<ops::ChainInstruction> instructions;
  ir::Ints results;
  for (size_t i = 0; i < members.size(); ++i) {
    const Node& node = graph.node(members[i]);
    ops::ChainInstruction instruction{node.op, node.attrs, {}};
    for (const ValueId v : node.inputs) instruction.operands.push_back(number.at(v));
    instructions.push_back(std::move(instruction));
    if (leaves[i]) results.push_back(static_cast<int64_t>(number.size()));
    number.emplace(node.outputs[0], number.size());
  }
  const ir::Attrs attrs{{"program", ops::print_chain(instructions, inputs.size())}, {"results", results}};
  for (ValueId& v : inputs) v = replaced.now(v);
  const NodeId chain = graph.add_node(region, ops::chain_op, inputs, attrs, graph.node(members[0]).scope);
  size_t result = 0;
  for (size_t i = 0; i < members.size(); ++i)
    if (leaves[i]) replaced.set(graph.node(members[i]).outputs[0], graph.node(chain).outputs[result++]);
  return chain;
}

}  // namespace

Chained join_chains(Graph& graph) {
  Chained done;
  Replaced replaced(graph);
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const std::vector<NodeId> before = graph.regions()[r].nodes;
    const Groups groups(graph, static_cast<int>(r));
    std::map<int64_t, size_t> at;  // the place of each chain
    for (size_t g = 0; g < groups.size(); ++g)
      if (groups.members(g).size() > 1) at.emplace(groups.place(g), g);
    std::vector<bool> joined(before.size());
    std::vector<NodeId> after;
    for (const auto& [place, g] : at)
      for (const int64_t member : groups.members(g)) joined[static_cast<size_t>(member)] = true;
    for (size_t i = 0; i < before.size(); ++i) {
      if (!joined[i]) after.push_back(before[i]);
      const auto here = at.find(static_cast<int64_t>(i));
      if (here == at.end()) continue;
      std::vector<NodeId> members;
      std::vector<bool> leaves;
      for (const int64_t member : groups.members(here->second)) {
        members.push_back(before[static_cast<size_t>(member)]);
        leaves.push_back(groups.leaves(here->second, graph.node(members.back()).outputs[0]));
      }
      after.push_back(emit(graph, static_cast<int>(r), members, leaves, replaced));
      for (const NodeId id : members) graph.node(id).dead = true;
      done.nodes += static_cast<int64_t>(members.size());
      ++done.chains;
    }
    graph.reorder(static_cast<int>(r), std::move(after));
  }
  replaced.apply(graph);
  graph.compact();
  return done;
}

}  // namespace ringmaster::passes
