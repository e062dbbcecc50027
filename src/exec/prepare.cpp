// SPDX-License-Identifier: Apache-2.0
#include "exec/prepare.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "exec/exchange.h"

namespace ringmaster::exec {

Deal deal(int64_t num_grains, int rank, int size) {
  const int64_t base = num_grains / size, extra = num_grains % size;
  return {rank * base + std::min<int64_t>(rank, extra), base + (rank < extra ? 1 : 0)};
}

DType collective_dtype(const ir::Graph& graph, const ir::Node& node) {
  int64_t floats = 0, integers = 0;  // sums of, which one collective can not add together
  const DType first = graph.type(node.inputs.front()).dtype;
  for (const ir::ValueId v : node.inputs) {
    CHECK(size_of(graph.type(v).dtype) == size_of(first), "a collective of {} and {}", name(first),
          ir::str(graph.type(v)));
    if (graph.type(v).dtype == DType::i32)
      ++integers;
    else if (graph.producer(v).op->traits.role == ir::Role::grain_sum && graph.value(v).index == 0)
      ++floats;
  }
  CHECK(floats == 0 || integers == 0, "a collective of {} sums of floats and {} of integers", floats, integers);
  if (size_of(first) == 8) return first;
  return floats > 0 ? DType::f32 : DType::i32;
}

Prepared prepare(const ir::Graph& graph, const PrepareOptions& options) {
  const auto n = static_cast<size_t>(graph.num_nodes());
  Prepared out{std::vector<std::shared_ptr<ir::Kernel>>(n), std::vector<int64_t>(n), std::vector<int64_t>(n)};
  std::map<std::string, std::shared_ptr<ir::Kernel>> made;
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      const auto i = static_cast<size_t>(id);
      if (node.op->traits.role == ir::Role::collective) {
        out.scratch_bytes[i] = exchange_scratch_bytes(graph, node, options.team);
        continue;
      }
      if (node.op->cpu == nullptr) continue;
      const auto in = graph.input_types(node), types = graph.output_types(node);
      const ir::OpView view{node.attrs, in, types};
      auto& kernel = made[ir::kernel_key(node, in)];
      if (kernel == nullptr) kernel = node.op->cpu(view, options.threads);
      out.kernels[i] = kernel;
      out.scratch_bytes[i] = kernel->scratch_bytes();
      out.gemm_flops[i] = ir::gemm_flops(*node.op, view);
    }
  }
  return out;
}

}  // namespace ringmaster::exec
