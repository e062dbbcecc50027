// SPDX-License-Identifier: Apache-2.0
// residuals: the part of fuse that joins a sum with the norm that reads it, or with the norm's gradient that it reads.
#pragma once
#include <cstdint>

#include "ir/graph.h"

namespace ringmaster::passes {

// Sums that an op can make itself (Traits::adds_before, adds_behind); how many they were.
int64_t join_residuals(ir::Graph& graph);

}  // namespace ringmaster::passes
