// SPDX-License-Identifier: Apache-2.0
// work: what the cost table knows a node by, and how long nodes take.
#pragma once
#include "cost/table.h"
#include "ir/graph.h"

namespace ringmaster::passes {

cost::Work work_of(const ir::Graph& graph, const ir::Node& node);
// Of a node that adds first, where it starts from its sum.
cost::Work work_from_sum(const ir::Graph& graph, const ir::Node& node);

bool takes_time(const ir::Graph& graph, const ir::Node& node);  // not so views, leaves and collectives
// What a node runs in, in seconds of the cost table; 0 where it takes none.
double seconds_of(const ir::Graph& graph, const ir::Node& node, const cost::Table& costs);

// The time of `repeats` runs over so many grains each: of what runs without recompute, and of what recompute added.
struct Seconds {
  double once = 0, again = 0;
  double sum() const { return once + again; }
};
Seconds seconds_of(const ir::Graph& graph, const cost::Table& costs, int64_t grains, int64_t repeats = 1);

}  // namespace ringmaster::passes
