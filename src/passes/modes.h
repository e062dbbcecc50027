// SPDX-License-Identifier: Apache-2.0
// modes: the tags of forward values under the modes of gradient checkpointing that need no planning.
#pragma once
#include <vector>

#include "passes/forward.h"
#include "passes/segments.h"

namespace ringmaster::passes {

// By index in Forward::values(): how often backward makes the value before it stays (ir::Value::recompute).
using Tags = std::vector<int>;

Tags tags_of_blocks(const Forward& forward, const std::vector<Segment>& segments);
Tags tags_of_selection(const ir::Graph& graph, const Forward& forward, const std::vector<Segment>& segments);

void set_tags(ir::Graph& graph, const Forward& forward, const Tags& tags);

}  // namespace ringmaster::passes
