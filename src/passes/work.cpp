// SPDX-License-Identifier: Apache-2.0
#include "passes/work.h"

#include "core/with_float.h"
#include "passes/forward.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;

cost::Work work(const Node& node, const std::vector<ir::Type>& in, const std::vector<ir::Type>& out) {
  const ir::OpView view{node.attrs, in, out};
  cost::Work w{.key = ir::kernel_key(node, in), .flops = ir::gemm_flops(*node.op, view)};
  if (node.op->gemms != nullptr)
    for (const ir::Gemm& gemm : node.op->gemms(view))
      w.narrow = w.narrow || gemm.dtype == DType::bf16;  // f16 is computed in f32
  for (const ir::Type& t : in) w.bytes += t.bytes();
  for (const ir::Type& t : out) w.bytes += t.bytes();
  return w;
}

}  // namespace

cost::Work work_of(const Graph& graph, const Node& node) {
  return work(node, graph.input_types(node), graph.output_types(node));
}

cost::Work work_from_sum(const Graph& graph, const Node& node) {
  std::vector<ir::Type> in = graph.input_types(node), out = graph.output_types(node);
  in.pop_back();
  out.pop_back();
  return work(node, in, out);
}

bool takes_time(const Graph& graph, const Node& node) {
  return node.op->cpu != nullptr && !lies_in_its_input(graph, node);
}

double seconds_of(const Graph& graph, const Node& node, const cost::Table& costs) {
  if (!takes_time(graph, node)) return 0;
  return costs.seconds(work_of(graph, node));
}

Seconds seconds_of(const Graph& graph, const cost::Table& costs, int64_t grains, int64_t repeats) {
  Seconds out;
  for (const ir::Region& region : graph.regions()) {
    const auto runs = static_cast<double>(repeats * (region.kind == ir::RegionKind::for_grain ? grains : 1));
    for (const NodeId id : region.nodes) {
      const Node& node = graph.node(id);
      (node.again ? out.again : out.once) += runs * seconds_of(graph, node, costs);
    }
  }
  return out;
}

}  // namespace ringmaster::passes
