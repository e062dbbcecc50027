// SPDX-License-Identifier: Apache-2.0
// A joined node stands at the place of the later of the two: there all that it reads is at hand, and whoever else reads the sum must
// come behind. No product and no write of a state lies in between (passes/order.h says why).
#include "passes/residuals.h"

#include <algorithm>
#include <map>

#include "passes/order.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

enum class Side { before, behind };  // of the other op: where the sum stands

// Which sums of a region are made by whom, as it stands at first.
class Residuals {
 public:
  Residuals(const Graph& graph, int region) : graph_(graph), users_(graph.users()), order_(graph, region) {}

  // The sum that `id` reads and can make itself; none: there is none.
  NodeId sum_before(NodeId id) const {
    const Node& node = graph_.node(id);
    if (!node.op->traits.adds_before || !has_room(node)) return ir::none;
    const ValueId x = node.inputs[0];
    const NodeId sum = graph_.value(x).producer;
    if (!is_sum(sum) || !near(sum, id) || std::ranges::count(node.inputs, x) != 1) return ir::none;
    const bool read_earlier = std::ranges::any_of(readers(x), [&](NodeId reader) {
      return order_.place(reader) != Order::nowhere && order_.place(reader) < order_.place(id);
    });
    return read_earlier || std::ranges::any_of(graph_.node(sum).inputs, [&](ValueId v) { return is_chained(v); })
               ? ir::none
               : sum;
  }

  // The sum that alone reads what `id` gives.
  NodeId sum_behind(NodeId id) const {
    const Node& node = graph_.node(id);
    if (!node.op->traits.adds_behind || !has_room(node) || node.outputs.size() != 1) return ir::none;
    if (readers(node.outputs[0]).size() != 1) return ir::none;
    const NodeId sum = readers(node.outputs[0]).front();
    return is_sum(sum) && near(id, sum) ? sum : ir::none;
  }

 private:
  const std::vector<NodeId>& readers(ValueId v) const { return users_[static_cast<size_t>(v)]; }
  static bool has_room(const Node& node) { return static_cast<int>(node.inputs.size()) == node.op->min_inputs; }

  bool is_sum(NodeId id) const {
    const Node& node = graph_.node(id);
    return node.op->traits.plus &&
           std::ranges::all_of(node.inputs, [&](ValueId v) { return graph_.type(v) == graph_.type(node.outputs[0]); });
  }

  // Can they stand at one place?
  bool near(NodeId first, NodeId second) const {
    return order_.place(first) != Order::nowhere && order_.place(second) != Order::nowhere &&
           !order_.product_between(first, second) && !order_.write_between(first, second);
  }

  // An elementwise node that only the sum reads makes a chain with it (dropout on a branch), and that spares as much.
  bool is_chained(ValueId v) const {
    const NodeId maker = graph_.value(v).producer;
    return graph_.node(maker).op->tile != nullptr && order_.place(maker) != Order::nowhere && readers(v).size() == 1;
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  Order order_;
};

NodeId emit(Graph& graph, NodeId id, NodeId sum_id, Side side) {
  const Node node = graph.node(id), sum = graph.node(sum_id);  // copies: adding nodes moves them
  std::vector<ValueId> inputs = node.inputs;
  if (side == Side::before) {
    inputs[0] = sum.inputs[0];
    inputs.push_back(sum.inputs[1]);
  } else {
    inputs.push_back(sum.inputs[sum.inputs[0] == node.outputs[0] ? 1 : 0]);
  }
  const NodeId joined = graph.add_node(node.region, *node.op, inputs, node.attrs, node.scope);
  for (size_t i = 0; i < node.outputs.size(); ++i) graph.replace_uses(node.outputs[i], graph.node(joined).outputs[i]);
  const std::vector<ValueId>& outputs = graph.node(joined).outputs;
  graph.replace_uses(sum.outputs[0], side == Side::before ? outputs.back() : outputs.front());
  graph.remove(id);
  graph.remove(sum_id);
  return joined;
}

int64_t join(Graph& graph, int region, Side side) {
  const std::vector<NodeId> before = graph.regions()[static_cast<size_t>(region)].nodes;
  const Residuals residuals(graph, region);
  struct Pair {
    NodeId node, sum;
  };
  std::map<NodeId, Pair> pairs;  // by the later of the two
  for (const NodeId id : before) {
    const NodeId sum = side == Side::before ? residuals.sum_before(id) : residuals.sum_behind(id);
    if (sum != ir::none) pairs.emplace(side == Side::before ? id : sum, Pair{id, sum});
  }
  std::vector<NodeId> after;
  for (const NodeId id : before) {
    const auto pair = pairs.find(id);
    after.push_back(pair == pairs.end() ? id : emit(graph, pair->second.node, pair->second.sum, side));
  }
  graph.reorder(region, std::move(after));
  graph.compact();
  return static_cast<int64_t>(pairs.size());
}

}  // namespace

int64_t join_residuals(Graph& graph) {
  int64_t joined = 0;
  for (int region = 0; region < static_cast<int>(graph.regions().size()); ++region)
    for (const Side side : {Side::before, Side::behind}) joined += join(graph, region, side);
  return joined;
}

}  // namespace ringmaster::passes
