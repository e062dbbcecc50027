// SPDX-License-Identifier: Apache-2.0
#include "ops/gradient.h"

#include <algorithm>
#include <numeric>

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
    of_.resize(std::max(of_.size(), static_cast<size_t>(v) + 1));
    Tensor& sum = of_[static_cast<size_t>(v)];
    CHECK(d.shape() == builder_.graph().type(v).shape, "gradient of %{} is {}, the value is {}", v, ir::str(d.type()),
          ir::str(builder_.graph().type(v)));
    sum = sum.valid() ? ops::add(sum, d) : d;
  }

 private:
  ir::Builder& builder_;
  std::vector<Tensor> of_;
};

// Marks the values that depend on marked ones, walking forward.
void mark_dependents(const Graph& graph, std::span<const NodeId> nodes, std::vector<bool>& marked) {
  marked.resize(static_cast<size_t>(graph.num_values()));
  for (const NodeId id : nodes) {
    const Node& node = graph.node(id);
    if (node.dead || !node.op->traits.differentiable) continue;
    const bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return marked[static_cast<size_t>(v)]; });
    if (!any) continue;
    for (const ValueId v : node.outputs) marked[static_cast<size_t>(v)] = is_float(graph.type(v).dtype);
  }
}

std::vector<Tensor> handles(ir::Builder& builder, const std::vector<ValueId>& ids) {
  std::vector<Tensor> out;
  out.reserve(ids.size());
  for (const ValueId v : ids) out.emplace_back(&builder, v);
  return out;
}

void backward(ir::Builder& builder, NodeId id, Adjoints& adjoints, std::vector<bool>& wanted);

// The backward of an op that has no gradient of its own is that of the primitives that compute the same: they are built where
// backward stands, from the op's inputs. The op stays, so every handle to its outputs does too.
void backward_of_primitives(ir::Builder& builder, const Node& node, std::span<const Tensor> d_out, Adjoints& adjoints,
                            std::vector<bool>& wanted) {
  const auto first = static_cast<NodeId>(builder.graph().num_nodes());
  const std::vector<Tensor> out = node.op->decompose(node.attrs, handles(builder, node.inputs));
  std::vector<NodeId> primitives(static_cast<size_t>(builder.graph().num_nodes() - first));
  std::iota(primitives.begin(), primitives.end(), first);
  mark_dependents(builder.graph(), primitives, wanted);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i].valid() && d_out[i].valid() && wanted[static_cast<size_t>(out[i].id())])
      adjoints.add(out[i].id(), d_out[i]);
  for (auto it = primitives.rbegin(); it != primitives.rend(); ++it) backward(builder, *it, adjoints, wanted);
}

void backward(ir::Builder& builder, NodeId id, Adjoints& adjoints, std::vector<bool>& wanted) {
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
  const ir::ScopeGuard scope(builder, node.scope);
  if (node.op->grad == nullptr && node.op->decompose != nullptr)
    return backward_of_primitives(builder, node, d_out, adjoints, wanted);
  if (node.op->grad == nullptr) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} at {} has no gradient", node.op->name, node.scope),
                 .cure = "wrap its input in stop_gradient"});
  }
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
  std::vector<bool> wanted(static_cast<size_t>(graph.num_values()));
  for (const Tensor& x : xs) wanted[static_cast<size_t>(x.id())] = true;
  mark_dependents(graph, nodes, wanted);
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

Tensor gradient(Tensor y, Tensor x) {
  const auto refuse = [&](const std::string& found, const std::string& cure) {
    const std::string& scope = y.builder().graph().producer(y.id()).scope;
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("gradient of {}: {}", scope.empty() ? "y" : scope, found),
                 .cure = cure});
  };
  if (y.shape().rank() != 0) refuse("y is " + ir::str(y.type()), "sum it: a gradient is of one number");
  if (!is_float(y.dtype()) || !is_float(x.dtype()))
    refuse(fmt::format("y is {}, x is {}", ir::str(y.type()), ir::str(x.type())), "cast them to a float type");
  const Tensor d = gradient(y, full(y.builder(), y.type(), 1.0), std::span(&x, 1)).front();
  if (!d.valid()) refuse("y does not depend on x", "compute y from x, with no stop_gradient between them");
  return d;
}

void decompose(ir::Builder& builder) {
  Graph& graph = builder.graph();
  auto& list = graph.regions()[static_cast<size_t>(builder.region())].nodes;
  std::vector<ValueId> stands_for(static_cast<size_t>(graph.num_values()), ir::none);  // none: itself
  const auto resolve = [&](std::vector<ValueId>& values) {
    for (ValueId& v : values)
      while (static_cast<size_t>(v) < stands_for.size() && stands_for[static_cast<size_t>(v)] != ir::none)
        v = stands_for[static_cast<size_t>(v)];
  };
  builder.enter_region(builder.region());
  std::vector<NodeId> kept, ahead(list.rbegin(), list.rend());  // the next node last
  list.clear();
  while (!ahead.empty()) {
    const NodeId id = ahead.back();
    ahead.pop_back();
    resolve(graph.node(id).inputs);
    const Node node = graph.node(id);
    if (node.dead) continue;
    if (node.op->decompose == nullptr) {
      kept.push_back(id);
      continue;
    }
    const ir::ScopeGuard scope(builder, node.scope);
    const std::vector<Tensor> out = node.op->decompose(node.attrs, handles(builder, node.inputs));
    stands_for.resize(static_cast<size_t>(graph.num_values()), ir::none);
    for (size_t k = 0; k < out.size(); ++k)
      if (out[k].valid()) stands_for[static_cast<size_t>(node.outputs[k])] = out[k].id();
    ahead.insert(ahead.end(), list.rbegin(), list.rend());  // what replaces it is visited too
    list.clear();
    graph.remove(id);
  }
  list = std::move(kept);
  for (const ir::Region& region : graph.regions())
    for (const NodeId id : region.nodes) resolve(graph.node(id).inputs);
  graph.compact();
}

}  // namespace ringmaster::ops
