// SPDX-License-Identifier: Apache-2.0
// autodiff: turns a phase's loss terms into gradients of the states that the step region asks for.
//   before   for grain: %s = loss_term(%sum) weight="w"        step: %g = gradient(%p)
//   after    for grain: %d = backward nodes of coefficient * sum / w ; %g = grain_sum(%d)
// In fixed point (ops/grain_sum.cpp) the gradient is the sum of integers, on a grid that the state `maxima` decides.
//   before   step: %g i32, %m = gradient(%p) maxima="phase.gradient_maxima" grid=3
//   after    for grain: .., %k3, .. = grids(%maxima) ; ... ; %g i32, %m = grain_sum(%d, %k3)
// The seed is coefficient / weight with the GLOBAL weight, so gradients of grains add up to the gradient of the whole batch
// whatever the split; a term's second input multiplies it (loss scaling). Needs: one grain region that holds every loss term. Keeps:
// no node of the forward pass is changed.
#include <map>

#include "core/error.h"
#include "ops/gradient.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::Tensor;

std::vector<NodeId> nodes_with(const Graph& graph, Role role) {
  std::vector<NodeId> found;
  for (const ir::Region& region : graph.regions())
    for (const NodeId id : region.nodes)
      if (!graph.node(id).dead && graph.node(id).op->traits.role == role) found.push_back(id);
  return found;
}

// The loss to differentiate and its seed: one term keeps its own sum, several are added up first.
std::pair<Tensor, Tensor> objective(ir::Builder& builder, const std::vector<NodeId>& terms) {
  Graph& graph = builder.graph();
  const ir::Type scalar{DType::f32, {}};
  std::vector<std::pair<Tensor, Tensor>> weighted;
  for (const NodeId id : terms) {
    const Node node = graph.node(id);
    const ir::ScopeGuard scope(builder, node.scope);
    Tensor factor = ops::div(ops::full(builder, scalar, node.attrs.number("coefficient")),
                             ops::scalar(builder, node.attrs.text("weight")));
    if (node.inputs.size() > 1) factor = ops::mul(factor, Tensor(&builder, node.inputs[1]));
    weighted.emplace_back(Tensor(&builder, node.inputs[0]), factor);
  }
  if (weighted.size() == 1) return weighted.front();
  Tensor total;
  for (const auto& [sum, factor] : weighted)
    total = total.valid() ? ops::add(total, ops::mul(sum, factor)) : ops::mul(sum, factor);
  return {total, ops::full(builder, scalar, 1.0)};
}

// The grids of the phase in its grains, if its gradients are in fixed point. Every term is multiplied by the same loss scale.
std::vector<Tensor> grids(ir::Builder& builder, NodeId gradient, NodeId term) {
  const Graph& graph = builder.graph();
  if (graph.node(gradient).attrs.integer("grid") < 0) return {};
  const std::string maxima = graph.node(gradient).attrs.text("maxima");
  const ir::ScopeGuard scope(builder, maxima);
  const Node& loss = graph.node(term);
  const Tensor scale = loss.inputs.size() > 1 ? Tensor(&builder, loss.inputs[1]) : Tensor();
  return ops::grids(ops::state_read(builder, maxima), scale);
}

// What leaves the grain in place of `gradient`.
void leave(ir::Builder& builder, NodeId gradient, const std::vector<Tensor>& parts, const std::vector<Tensor>& grids) {
  Graph& graph = builder.graph();
  const Node node = graph.node(gradient);
  if (!grids.empty()) {
    const Tensor grid = grids.at(static_cast<size_t>(node.attrs.integer("grid")));
    const auto [sum, peaks] = ops::grain_sum(parts, grid, node.attrs.integer("grains"));
    graph.replace_uses(node.outputs[0], sum.id());
    graph.replace_uses(node.outputs[1], peaks.id());
  } else {
    graph.replace_uses(node.outputs[0], ops::grain_sum(parts).id());
  }
  graph.remove(gradient);
}

}  // namespace

std::string autodiff(Graph& graph, const Settings&) {
  const std::vector<NodeId> terms = nodes_with(graph, Role::loss_term), wanted = nodes_with(graph, Role::gradient);
  if (terms.empty()) {
    CHECK(wanted.empty(), "{} asks for gradients and has no loss", graph.name());
    return "nothing to differentiate";
  }
  const int home = graph.node(terms.front()).region;
  for (const NodeId id : terms)
    CHECK(graph.node(id).region == home, "loss terms of {} stand in several regions", graph.name());
  const int64_t before = graph.live_nodes();

  // every read of a state inside the region, by name
  std::map<std::string, std::vector<Tensor>> reads;
  ir::Builder builder(graph);
  builder.enter_region(home);
  for (const NodeId id : graph.regions()[static_cast<size_t>(home)].nodes) {
    const Node& node = graph.node(id);
    if (node.op->traits.role == Role::state_read)
      reads[node.attrs.text("name")].emplace_back(&builder, node.outputs[0]);
  }
  if (!wanted.empty()) {
    const auto [loss, seed] = objective(builder, terms);
    const std::vector<Tensor> units = grids(builder, wanted.front(), terms.front());
    std::vector<Tensor> xs;
    for (const NodeId id : wanted)
      for (const Tensor& x : reads[graph.producer(graph.node(id).inputs[0]).attrs.text("name")]) xs.push_back(x);
    const std::vector<Tensor> d = ops::gradient(loss, seed, xs);
    size_t next = 0;
    for (const NodeId id : wanted) {
      const std::string name = graph.producer(graph.node(id).inputs[0]).attrs.text("name");
      const ir::ScopeGuard scope(builder, name);
      // the sum of the dense ones, which may cancel each other, and the sparse ones: first what fuse can add where it is made
      std::vector<Tensor> parts;
      Tensor dense;
      for (size_t k = 0; k < reads[name].size(); ++k, ++next) {
        if (!d[next].valid()) continue;
        if (graph.producer(d[next].id()).op->traits.sparse)
          parts.push_back(d[next]);
        else
          dense = dense.valid() ? ops::add(dense, d[next]) : d[next];
      }
      if (!dense.valid() && parts.empty()) dense = ops::full(builder, graph.type(graph.node(id).inputs[0]), 0.0);
      const bool made_in_place = dense.valid() && graph.producer(dense.id()).op->traits.sums >= 0;
      if (dense.valid()) parts.insert(made_in_place ? parts.begin() : parts.end(), dense);
      leave(builder, id, parts, units);
    }
  }
  for (const NodeId id : terms) {
    graph.replace_uses(graph.node(id).outputs[0], graph.node(id).inputs[0]);
    graph.remove(id);
  }
  graph.compact();
  return fmt::format("{} gradients, {} nodes of backward", wanted.size(), graph.live_nodes() - before);
}

}  // namespace ringmaster::passes
