// SPDX-License-Identifier: Apache-2.0
// prepare: kernels for the nodes of a graph, before anything has an address. Nodes of one op, attributes and types share one
// kernel, so a deep model prepares as many as it has different shapes.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "exec/team.h"
#include "ir/graph.h"

namespace ringmaster::exec {

struct PrepareOptions {
  int threads = 1;
  Team team = {};  // a collective's scratch depends on it
};

struct Prepared {
  std::vector<std::shared_ptr<ir::Kernel>> kernels;  // by node id; null for leaves, views, outputs and collectives
  std::vector<int64_t> scratch_bytes;                // by node id
  std::vector<int64_t> gemm_flops;                   // by node id, of one run
};
Prepared prepare(const ir::Graph& graph, const PrepareOptions& options);

// As what a collective sums up its bucket: f32 if a sum over grains is; f64 if all are; else i32, which keeps the bits of floats that
// one rank alone has.
DType collective_dtype(const ir::Graph& graph, const ir::Node& node);

// The run of grains that a rank gets: contiguous, the first ranks take one more where it does not divide.
struct Deal {
  int64_t first = 0, count = 0;
};
Deal deal(int64_t num_grains, int rank, int size);

}  // namespace ringmaster::exec
