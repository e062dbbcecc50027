// SPDX-License-Identifier: Apache-2.0
// chains: the part of fuse that joins elementwise nodes.
#pragma once
#include <cstdint>

#include "ir/graph.h"

namespace ringmaster::passes {

struct Chained {
  int64_t nodes = 0, chains = 0;
};
// Joins elementwise nodes of one shape that read each other; every other node stays where it is.
Chained join_chains(ir::Graph& graph);

}  // namespace ringmaster::passes
