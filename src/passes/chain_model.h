// SPDX-License-Identifier: Apache-2.0
// chain_model: forward and backward of a grain region as a chain of segments, in numbers: what the planner of a budget works on.
#pragma once
#include <vector>

#include "cost/table.h"
#include "passes/forward.h"
#include "passes/saving.h"
#include "passes/segments.h"

namespace ringmaster::passes {

// By segment. `graph` stands in the order of the run, without tags; `forward` and `segments` are of it. Each node of backward is a
// moment of the segment whose values it reads. What is read out of turn, before backward of its segment or behind it, is saved
// all the time until then.
std::vector<SegmentModel> chain_model(const ir::Graph& graph, const Forward& forward,
                                      const std::vector<Segment>& segments, const cost::Table& costs);

// Bytes that a value takes in the arena.
int64_t size_of_value(const ir::Graph& graph, ir::ValueId v);

}  // namespace ringmaster::passes
