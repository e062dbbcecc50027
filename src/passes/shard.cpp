// SPDX-License-Identifier: Apache-2.0
// shard: data parallelism as nodes. Each rank runs its run of grains; what leaves a grain region is summed over the ranks
// before anybody reads it. What has a slot for each grain (grain_gather, magnitudes) holds this rank's and zeros elsewhere, so its
// sum is exact; and so are sums of integers.
//   before   for grain: %g = grain_sum(%d)       step: use(%g)
//   after    for grain: %g = grain_sum(%d)       step: %r = all_reduce(%g) bucket=0 ; use(%r)
#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {

std::string shard(ir::Graph& graph, const Settings& settings) {
  if (settings.ranks == 1) return "one rank: nothing to exchange";
  int64_t buckets = 0, bytes = 0;
  for (size_t r = 0; r + 1 < graph.regions().size(); ++r) {
    if (graph.regions()[r].kind != ir::RegionKind::for_grain) continue;
    ir::Builder builder(graph);
    std::vector<ir::Tensor> exits;
    for (const ir::NodeId id : graph.regions()[r].nodes) {
      if (!ir::is_grain_exit(graph.node(id).op->traits.role)) continue;
      for (const ir::ValueId v : graph.node(id).outputs) {
        exits.emplace_back(&builder, v);
        bytes += exits.back().type().bytes();
      }
    }
    if (exits.empty()) continue;
    CHECK(graph.regions()[r + 1].kind == ir::RegionKind::step, "a grain region is followed by another one");
    builder.enter_region(static_cast<int>(r) + 1, 0);
    builder.set_scope("all_reduce");
    const std::vector<ir::Tensor> reduced = ops::all_reduce(exits, buckets++);
    const ir::NodeId collective = graph.value(reduced.front().id()).producer;
    for (size_t i = 0; i < exits.size(); ++i) {
      graph.replace_uses(exits[i].id(), reduced[i].id());
      graph.node(collective).inputs[i] = exits[i].id();  // but for the collective itself
    }
  }
  return fmt::format("{} buckets, {} bytes over {} ranks", buckets, bytes, settings.ranks);
}

}  // namespace ringmaster::passes
