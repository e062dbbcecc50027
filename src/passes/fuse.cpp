// SPDX-License-Identifier: Apache-2.0
// fuse: joins nodes into kernels that pass over memory once.
// Gradients leave a grain where they are made: an op that can add its result to a sum over the grains (Traits::sums) writes there,
// so the result has no memory of its own and is folded in while it is hot (Traits::sums_one_grain: where a rank has but one).
//   before   %d = matmul(%x, %dy) ; %g = grain_sum(%d)
//   after    %d = matmul(%x, %dy) into_sum="first" ; %g = grain_sum(%d)
// A new weight and its shadow are written together.
//   before   %w, %m, %v = adam(...) ; %s bf16 = cast(%w)        after   %w, %m, %v, %s = adam(...) narrow="bf16"
// Elementwise nodes of one shape that read each other become one node, which passes over memory once.
//   before   %c = mul(%a, %b) ; %d bf16 = cast(%c)
//   after    %d bf16 = chain(%a, %b) program="2 = mul 0 1; 3 = cast 2 dtype=bf16" results=[3]
// The bits stay: the panel of a product is finished before it is added, all is added in the order of the exit's inputs, and every
// value of a chain is rounded to its dtype. Needs: the gradient has no other reader.
#include <algorithm>

#include "core/error.h"
#include "passes/chains.h"
#include "passes/passes.h"

namespace ringmaster::passes {

namespace {

struct Folded {
  int64_t gradients = 0, bytes = 0;
};

Folded fold_gradients(ir::Graph& graph, const Settings& settings) {
  const auto users = graph.users();
  Folded folded;
  for (const ir::Region& region : graph.regions()) {
    std::vector<int64_t> position(static_cast<size_t>(graph.num_nodes()));
    for (size_t i = 0; i < region.nodes.size(); ++i)
      position[static_cast<size_t>(region.nodes[i])] = static_cast<int64_t>(i);
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& exit = graph.node(id);
      if (exit.op->traits.role != ir::Role::grain_sum) continue;
      std::vector<ir::NodeId> makers;
      for (const ir::ValueId v : exit.inputs) {
        const ir::NodeId maker = graph.value(v).producer;
        const ir::Traits& traits = graph.node(maker).op->traits;
        const int sums = traits.sums_one_grain && !(settings.one_grain && makers.empty()) ? -1 : traits.sums;
        const bool alone = users[static_cast<size_t>(v)].size() == 1 && graph.node(maker).region == exit.region;
        const bool in_order =
            makers.empty() || position[static_cast<size_t>(makers.back())] < position[static_cast<size_t>(maker)];
        if (sums < 0 || graph.value(v).index != sums || !alone || !in_order)
          break;  // the exit adds the rest, in its order
        makers.push_back(maker);
      }
      for (const ir::NodeId maker : makers) {
        graph.node(maker).attrs.set("into_sum", maker == makers.front() ? std::string("first") : std::string("add"));
        folded.bytes +=
            graph.type(graph.node(maker).outputs[static_cast<size_t>(graph.node(maker).op->traits.sums)]).bytes();
        ++folded.gradients;
      }
    }
  }
  return folded;
}

// The reader of `v` that casts it to 16 bits; none: there is none.
ir::NodeId narrowing_reader(const ir::Graph& graph, const std::vector<ir::NodeId>& readers) {
  for (const ir::NodeId reader : readers) {
    const ir::Node& node = graph.node(reader);
    if (node.op->traits.converts && is_float(graph.type(node.outputs[0]).dtype) &&
        size_of(graph.type(node.outputs[0]).dtype) == 2)
      return reader;
  }
  return ir::none;
}

// An op that can give its result in 16 bits too does so, instead of a cast that reads all of it again.
int64_t narrow_copies(ir::Graph& graph) {
  int64_t copies = 0;
  const auto users = graph.users();
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const std::vector<ir::NodeId> before = graph.regions()[r].nodes;
    std::vector<ir::NodeId> after;
    for (const ir::NodeId id : before) {
      const ir::Node node = graph.node(id);  // a copy: adding nodes moves them
      after.push_back(id);
      if (!node.op->traits.narrow_copy || !node.attrs.text("narrow").empty()) continue;
      const ir::NodeId cast = narrowing_reader(graph, users[static_cast<size_t>(node.outputs[0])]);
      if (cast == ir::none || graph.node(cast).region != node.region) continue;
      ir::Attrs attrs = node.attrs;
      attrs.set("narrow", std::string(name(graph.type(graph.node(cast).outputs[0]).dtype)));
      const ir::NodeId both = graph.add_node(static_cast<int>(r), *node.op, node.inputs, attrs, node.scope);
      after.back() = both;
      for (size_t i = 0; i < node.outputs.size(); ++i) graph.replace_uses(node.outputs[i], graph.node(both).outputs[i]);
      graph.replace_uses(graph.node(cast).outputs[0], graph.node(both).outputs.back());
      graph.remove(id);
      graph.remove(cast);
      ++copies;
    }
    graph.reorder(static_cast<int>(r), std::move(after));
  }
  graph.compact();
  return copies;
}

}  // namespace

std::string fuse(ir::Graph& graph, const Settings& settings) {
  const Folded folded = fold_gradients(graph, settings);
  const int64_t copies = narrow_copies(graph);
  const Chained chained = join_chains(graph);
  return fmt::format(
      "{} gradients of {} bytes added where they are made, {} casts joined to their maker, {} elementwise nodes in {} "
      "chains",
      folded.gradients, folded.bytes, copies, chained.nodes, chained.chains);
}

}  // namespace ringmaster::passes
