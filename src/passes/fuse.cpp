// SPDX-License-Identifier: Apache-2.0
// fuse: joins nodes into kernels that pass over memory once.
// Gradients leave a grain where they are made: an op that can add its result to a sum over the grains (Traits::sums) writes there,
// so the result has no memory of its own and is folded in while it is hot (Traits::sums_one_grain: where a rank has but one).
//   before   %d = matmul(%x, %dy) ; %g = grain_sum(%d)
//   after    %d = matmul(%x, %dy) into_sum="first" ; %g = grain_sum(%d)
// In fixed point the op rounds to integers as well, and tells the largest magnitude.
//   before   %d = matmul(%x, %dy) ; %g, %p = grain_sum(%d, %grid)
//   after    %q i32, %m = matmul(%x, %dy, %grid) into_sum="first" on_grid ; %g, %p = grain_sum(%q, %m, %grid)
// A sum is made by the norm that reads it, row by row in front of it, or by the norm's gradient that goes into it (residuals.cpp).
//   before   %s = add(%a, %b) ; %y, %m, %r = layer_norm(%s, %g, %h)        after   %y, %m, %r, %s = layer_norm(%a, %g, %h, %b)
//   before   %x = layer_norm_grad(...) ; %s = add(%d, %x)                  after   %s = layer_norm_grad(..., %d)
// A result and its copy in 16 bits are written together: a new weight and its shadow. A norm leaves the f32 out if nobody reads it.
//   before   %w, %m, %v = adam(...) ; %s bf16 = cast(%w)        after   %w, %m, %v, %s = adam(...) narrow="bf16"
//   before   %y, %m, %r = layer_norm(...) ; %s bf16 = cast(%y)  after   %s, %m, %r = layer_norm(...) narrow_out="bf16"
// Elementwise nodes of one shape that read each other become one node, which passes over memory once.
//   before   %c = mul(%a, %b) ; %d bf16 = cast(%c)
//   after    %d bf16 = chain(%a, %b) program="2 = mul 0 1; 3 = cast 2 dtype=bf16" results=[3]
// The bits stay: the panel of a product is finished before it is added, all is added in the order of the exit's inputs, and every
// value of a chain, and each operand of a sum, is rounded to its dtype. Needs: the gradient has no other reader.
#include <algorithm>

#include "core/error.h"
#include "core/with_float.h"
#include "passes/chains.h"
#include "passes/order.h"
#include "passes/passes.h"
#include "passes/residuals.h"

namespace ringmaster::passes {

namespace {

struct Folded {
  int64_t gradients = 0, bytes = 0;
};

bool is_fixed(const ir::Node& exit) { return exit.outputs.size() > 1; }

// The ops behind the first inputs of an exit that can add to it, as far as the order in which it adds them allows.
std::vector<ir::NodeId> makers_of(const ir::Graph& graph, const Settings& settings, const ir::Node& exit,
                                  const std::vector<std::vector<ir::NodeId>>& users, const Order& order) {
  std::vector<ir::NodeId> makers;
  const std::span inputs(exit.inputs.data(), exit.inputs.size() - (is_fixed(exit) ? 1 : 0));
  for (const ir::ValueId v : inputs) {
    const ir::NodeId maker = graph.value(v).producer;
    const ir::Traits& traits = graph.node(maker).op->traits;
    const int sums = traits.sums_one_grain && !(settings.one_grain && makers.empty()) ? -1 : traits.sums;
    const bool alone = users[static_cast<size_t>(v)].size() == 1 && graph.node(maker).region == exit.region;
    const bool in_order = makers.empty() || order.place(makers.back()) < order.place(maker);
    if (sums < 0 || graph.value(v).index != sums || !alone || !in_order) break;  // the exit adds the rest, in its order
    makers.push_back(maker);
  }
  return makers;
}

// The maker as a node, at the end of its region, that rounds to the exit's grid; the exit and all others read that one.
ir::NodeId on_grid(ir::Graph& graph, ir::NodeId maker, ir::NodeId exit) {
  const ir::Node old = graph.node(maker);  // a copy: adding nodes moves them
  const auto sums = static_cast<size_t>(old.op->traits.sums);
  ir::Attrs attrs = old.attrs;
  attrs.set("on_grid", true);
  std::vector<ir::ValueId> inputs = old.inputs;
  inputs.push_back(graph.node(exit).inputs.back());
  const ir::NodeId made = graph.add_node(old.region, *old.op, inputs, attrs, old.scope);
  for (size_t i = 0; i < old.outputs.size(); ++i) graph.replace_uses(old.outputs[i], graph.node(made).outputs[i]);
  std::vector<ir::ValueId>& parts = graph.node(exit).inputs;
  const auto part = std::ranges::find(parts, graph.node(made).outputs[sums]);
  parts.insert(part + 1, graph.node(made).outputs.back());
  graph.remove(maker);
  return made;
}

Folded fold_gradients(ir::Graph& graph, const Settings& settings) {
  const auto users = graph.users();
  Folded folded;
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const Order order(graph, static_cast<int>(r));
    std::vector<ir::NodeId> nodes = graph.regions()[r].nodes;
    std::vector<std::pair<ir::NodeId, ir::NodeId>> rounding;  // maker, exit
    for (const ir::NodeId id : nodes) {
      const ir::Node& exit = graph.node(id);
      if (exit.op->traits.role != ir::Role::grain_sum) continue;
      const std::vector<ir::NodeId> makers = makers_of(graph, settings, exit, users, order);
      for (const ir::NodeId maker : makers) {
        ir::Node& node = graph.node(maker);
        node.attrs.set("into_sum", maker == makers.front() ? std::string("first") : std::string("add"));
        folded.bytes += graph.type(node.outputs[static_cast<size_t>(node.op->traits.sums)]).bytes();
        ++folded.gradients;
        if (is_fixed(exit)) rounding.emplace_back(maker, id);
      }
    }
    for (const auto& [maker, exit] : rounding)  // at last: it adds nodes
      nodes[static_cast<size_t>(order.place(maker))] = on_grid(graph, maker, exit);
    graph.reorder(static_cast<int>(r), std::move(nodes));
  }
  graph.compact();
  return folded;
}

// The reader of `v` that casts it to 16 bits; none: there is none.
ir::NodeId narrowing_reader(const ir::Graph& graph, const std::vector<ir::NodeId>& readers) {
  for (const ir::NodeId reader : readers) {
    const ir::Node& node = graph.node(reader);
    if (node.op->traits.converts && is_16_bit_float(graph.type(node.outputs[0]).dtype)) return reader;
  }
  return ir::none;
}

// The attribute by which the node can give its f32 output 0, which has so many readers, in 16 bits; null: it can not, or does already.
const char* narrowing(const ir::Graph& graph, const ir::Node& node, size_t readers) {
  const ir::Traits& traits = node.op->traits;
  if (graph.type(node.outputs[0]).dtype != DType::f32) return nullptr;
  if (traits.narrow_out && readers == 1) return "narrow_out";
  return traits.narrow_copy && node.attrs.text("narrow").empty() ? "narrow" : nullptr;
}

// An op that can give its result in 16 bits does so, instead of a cast that reads all of it again.
int64_t narrow_results(ir::Graph& graph) {
  int64_t joined = 0;
  const auto users = graph.users();
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const std::vector<ir::NodeId> before = graph.regions()[r].nodes;
    const Order order(graph, static_cast<int>(r));
    std::vector<ir::NodeId> after;
    for (const ir::NodeId id : before) {
      const ir::Node node = graph.node(id);  // a copy: adding nodes moves them
      after.push_back(id);
      if (!node.op->traits.narrow_copy && !node.op->traits.narrow_out) continue;
      const auto& readers = users[static_cast<size_t>(node.outputs[0])];
      const char* how = narrowing(graph, node, readers.size());
      if (how == nullptr) continue;
      const ir::NodeId cast = narrowing_reader(graph, readers);
      if (cast == ir::none || order.place(cast) == Order::nowhere || order.product_between(id, cast)) continue;
      ir::Attrs attrs = node.attrs;
      attrs.set(how, std::string(name(graph.type(graph.node(cast).outputs[0]).dtype)));
      const ir::NodeId joined_id = graph.add_node(static_cast<int>(r), *node.op, node.inputs, attrs, node.scope);
      after.back() = joined_id;
      const std::vector<ir::ValueId>& outputs = graph.node(joined_id).outputs;
      for (size_t i = 0; i < node.outputs.size(); ++i) graph.replace_uses(node.outputs[i], outputs[i]);
      graph.replace_uses(graph.node(cast).outputs[0],
                         outputs[outputs.size() > node.outputs.size() ? outputs.size() - 1 : 0]);
      graph.remove(id);
      graph.remove(cast);
      ++joined;
    }
    graph.reorder(static_cast<int>(r), std::move(after));
  }
  graph.compact();
  return joined;
}

}  // namespace

std::string fuse(ir::Graph& graph, const Settings& settings) {
  const Folded folded = fold_gradients(graph, settings);
  const int64_t sums = join_residuals(graph);  // ahead of the chains, which take what is left
  const int64_t casts = narrow_results(graph);
  const Chained chained = join_chains(graph);
  return fmt::format(
      "{} gradients of {} bytes added where they are made, {} sums joined to a norm, {} casts joined to their maker, "
      "{} elementwise nodes in {} chains",
      folded.gradients, folded.bytes, sums, casts, chained.nodes, chained.chains);
}

}  // namespace ringmaster::passes
