// SPDX-License-Identifier: Apache-2.0
// recompute: what the pass of that name adds to a grain region (recompute.cpp).
#pragma once
#include <vector>

#include "ir/graph.h"
#include "passes/forward.h"

namespace ringmaster::passes {

// A clone of a node of forward, which it is the same as but for what it reads. A view is not counted.
struct Remade {
  ir::NodeId clone = ir::none, original = ir::none;
  bool from_sum = false;  // a norm that adds first, and starts from its sum here
};

// Obeys the tags of a grain region, `forward` being the graph's or that of one it is a copy of; returns what is made again, in the
// order of the run.
std::vector<Remade> remake(ir::Graph& graph, const Forward& forward);

}  // namespace ringmaster::passes
