// SPDX-License-Identifier: Apache-2.0
// fuse: joins nodes into kernels that pass over memory once.
// Gradients leave a grain where they are made: an op that can add its result to a sum over the grains (Traits::sums) writes there,
// so the result has no memory of its own and is folded in while it is hot.
//   before   %d = matmul(%x, %dy) ; %g = grain_sum(%d)
//   after    %d = matmul(%x, %dy) into_sum="first" ; %g = grain_sum(%d)
// The bits stay: the panel of a product is finished before it is added. Needs: the gradient has no other reader.
#include <algorithm>

#include "core/error.h"
#include "passes/passes.h"

namespace ringmaster::passes {

std::string fuse(ir::Graph& graph, const Settings&) {
  const auto users = graph.users();
  int64_t folded = 0, bytes = 0;
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
        const int sums = graph.node(maker).op->traits.sums;
        const bool alone = users[static_cast<size_t>(v)].size() == 1 && graph.node(maker).region == exit.region;
        if (sums >= 0 && graph.value(v).index == sums && alone) makers.push_back(maker);
      }
      std::ranges::sort(makers, {}, [&](ir::NodeId m) { return position[static_cast<size_t>(m)]; });
      for (const ir::NodeId maker : makers) {
        graph.node(maker).attrs.set("into_sum", maker == makers.front() ? std::string("first") : std::string("add"));
        bytes += graph.type(graph.node(maker).outputs[static_cast<size_t>(graph.node(maker).op->traits.sums)]).bytes();
        ++folded;
      }
    }
  }
  return fmt::format("{} gradients of {} bytes added where they are made", folded, bytes);
}

}  // namespace ringmaster::passes
