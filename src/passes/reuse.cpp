// SPDX-License-Identifier: Apache-2.0
// reuse: a forward node whose result some backward node yields too, bit by bit (its op says so: `recomputes`), is dropped and its
// readers read the other one. They move behind it, in their order; nothing happens where it depends on one of them.
//   before   %5 = f(%1, %2) ; %6 = sum(%5) ; %7, %8 = f_and_gradient(%1, %2, %4) ; %9 = grain_gather(%6)
//   after    %7, %8 = f_and_gradient(%1, %2, %4) ; %6 = sum(%7) ; %9 = grain_gather(%6)
// Needs: canonical inputs. Keeps: every bit; it only takes work away.
#include <algorithm>

#include "core/error.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool yields(const Node& backward, const Node& forward) {
  return !backward.dead && !forward.dead && backward.op->recomputes == forward.op && forward.outputs.size() == 1 &&
         backward.inputs.size() >= forward.inputs.size() &&
         std::equal(forward.inputs.begin(), forward.inputs.end(), backward.inputs.begin());
}

// The nodes behind `at` in the list that depend on its outputs.
std::vector<bool> dependents(const Graph& graph, const std::vector<NodeId>& list, size_t at) {
  std::vector<bool> depends(list.size()), values(static_cast<size_t>(graph.num_values()));
  for (const ValueId v : graph.node(list[at]).outputs) values[static_cast<size_t>(v)] = true;
  for (size_t k = at + 1; k < list.size(); ++k) {
    const Node& node = graph.node(list[k]);
    depends[k] =
        !node.dead && std::ranges::any_of(node.inputs, [&](ValueId v) { return values[static_cast<size_t>(v)]; });
    if (!depends[k]) continue;
    for (const ValueId v : node.outputs) values[static_cast<size_t>(v)] = true;
  }
  return depends;
}

// Whether list[f] could give way to list[b]; then it has.
bool replace(Graph& graph, std::vector<NodeId>& list, size_t f, size_t b) {
  const NodeId forward = list[f], backward = list[b];
  const std::vector<bool> depends = dependents(graph, list, f);
  if (depends[b]) return false;
  std::vector<NodeId> before, behind;
  for (size_t k = f + 1; k < b; ++k) (depends[k] ? behind : before).push_back(list[k]);
  before.push_back(backward);
  std::ranges::copy(behind, std::ranges::copy(before, list.begin() + static_cast<std::ptrdiff_t>(f)).out);
  list.erase(list.begin() + static_cast<std::ptrdiff_t>(b));
  graph.replace_uses(graph.node(forward).outputs[0], graph.node(backward).outputs[0]);
  graph.remove(forward);
  return true;
}

bool replace_one(Graph& graph, std::vector<NodeId>& list) {
  for (size_t b = 0; b < list.size(); ++b) {
    if (graph.node(list[b]).op->recomputes == nullptr) continue;
    for (size_t f = 0; f < b; ++f)
      if (yields(graph.node(list[b]), graph.node(list[f])) && replace(graph, list, f, b)) return true;
  }
  return false;
}

}  // namespace

std::string reuse(Graph& graph, const Settings&) {
  int64_t dropped = 0;
  for (ir::Region& region : graph.regions())
    while (replace_one(graph, region.nodes)) ++dropped;
  graph.compact();
  return fmt::format("{} nodes dropped whose result backward yields", dropped);
}

}  // namespace ringmaster::passes
