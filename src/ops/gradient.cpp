// SPDX-License-Identifier: Apache-2.0
#include "ops/gradient.h"

#include <algorithm>

#include "core/error.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// Sums that arrive at one value, kept as a tree of adds in arrival order.
class Adjoints {
 public:
  explicit Adjoints(ir::Builder& builder) : builder_(builder), of_(static_cast<size_t>(builder.graph().num_values())) {}

  Tensor at(ValueId v) const { return static_cast<size_t>(v) < of_.size() ? of_[static_cast<size_t>(v)] : Tensor(); }

  void add(ValueId v, Tensor d) {
    Tensor& sum = of_[static_cast<size_t>(v)];
    CHECK(d.shape() == builder_.graph().type(v).shape, "gradient of %{} is {}, the value is {}", v, ir::str(d.type()),
          ir::str(builder_.graph().type(v)));
    sum = sum.valid() ? ops::add(sum, d) : d;
  }

 private:
  ir::Builder& builder_;
  std::vector<Tensor> of_;
};

// Marks the values that depend on one of xs, walking forward.
std::vector<bool> dependents(const Graph& graph, std::span<const NodeId> nodes, std::span<const Tensor> xs) {
  std::vector<bool> marked(static_cast<size_t>(graph.num_values()));
  for (const Tensor& x : xs) marked[static_cast<size_t>(x.id())] = true;
  for (const NodeId id : nodes) {
    const Node& node = graph.node(id);
    if (node.dead || !node.op->traits.differentiable) continue;
    const bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return marked[static_cast<size_t>(v)]; });
    if (!any) continue;
    for (const ValueId v : node.outputs) marked[static_cast<size_t>(v)] = is_float(graph.type(v).dtype);
  }
  return marked;
}

std::vector<Tensor> handles(ir::Builder& builder, const std::vector<ValueId>& ids) {
  std::vector<Tensor> out;
  out.reserve(ids.size());
  for (const ValueId v : ids) out.emplace_back(&builder, v);
  return out;
}

void backward(ir::Builder& builder, NodeId id, Adjoints& adjoints, const std::vector<bool>& wanted) {
  // emitting nodes moves the graph's storage: work on a copy
  const Node node = builder.graph().node(id);
  std::vector<Tensor> d_out;
  bool any = false;
  for (const ValueId v : node.outputs) {
    d_out.push_back(adjoints.at(v));
    any = any || d_out.back().valid();
  }
  std::vector<bool> needed;
  for (const ValueId v : node.inputs) needed.push_back(wanted[static_cast<size_t>(v)]);
  if (!any || std::find(needed.begin(), needed.end(), true) == needed.end()) return;
  if (node.op->grad == nullptr) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} at {} has no gradient", node.op->name, node.scope),
                 .cure = node.op->decompose != nullptr ? "decompose the program first: it differentiates twice"
                                                       : "wrap its input in stop_gradient"});
  }
  const ir::ScopeGuard scope(builder, node.scope);
  const std::vector<Tensor> in = handles(builder, node.inputs), out = handles(builder, node.outputs);
  const std::vector<Tensor> d_in = node.op->grad({node.attrs, in, out, d_out, needed});
  for (size_t i = 0; i < d_in.size(); ++i)
    if (d_in[i].valid() && needed[i]) adjoints.add(node.inputs[i], d_in[i]);
}

}  // namespace

std::vector<Tensor> gradient(Tensor y, Tensor seed, std::span<const Tensor> xs) {
  ir::Builder& builder = y.builder();
  Graph& graph = builder.graph();
  const std::vector<NodeId> nodes =
      graph.regions()[static_cast<size_t>(builder.region())].nodes;  // forward only: a copy
  const std::vector<bool> wanted = dependents(graph, nodes, xs);
  Adjoints adjoints(builder);
  if (wanted[static_cast<size_t>(y.id())]) {
    adjoints.add(y.id(), seed);
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it)
      if (!graph.node(*it).dead) backward(builder, *it, adjoints, wanted);
  }
  std::vector<Tensor> out;
  for (const Tensor& x : xs) out.push_back(adjoints.at(x.id()));
  return out;
}

void decompose(ir::Builder& builder) {
  Graph& graph = builder.graph();
  auto& nodes = graph.regions()[static_cast<size_t>(builder.region())].nodes;
  for (size_t i = 0; i < nodes.size();
       ++i) {  // the list grows: replacements go right behind the node and are visited too
    const NodeId id = nodes[i];
    const Node node = graph.node(id);
    if (node.dead || node.op->decompose == nullptr) continue;
    const ir::ScopeGuard scope(builder, node.scope);
    builder.enter_region(builder.region(), static_cast<int64_t>(i) + 1);
    const std::vector<Tensor> out = node.op->decompose(node.attrs, handles(builder, node.inputs));
    for (size_t k = 0; k < out.size(); ++k)
      if (out[k].valid()) graph.replace_uses(node.outputs[k], out[k].id());
    graph.remove(id);
  }
  graph.compact();
  builder.enter_region(builder.region());
}

}  // namespace ringmaster::ops
