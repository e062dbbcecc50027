// SPDX-License-Identifier: Apache-2.0
// bench_ops: instructions timed alone, each on memory of its own: those of a step, on what they really read there, or ops on the
// shapes of the shipped configs. Each runs again and again, and the shortest run counts.
#pragma once
#include "train/bench_step.h"

#include <functional>
#include <vector>

namespace ringmaster::train {

using Wanted = std::function<bool(const InstructionRow&)>;

// Equal instructions are timed once; `seconds` is a step's, were each run as fast as one alone. Folded, slowest first. Blocks.
std::vector<InstructionRow> time_alone(BenchStep& bench, const Wanted& wanted);

// The samples marked `shipped` of every op (docs/adding-an-op.md), one run each.
std::vector<InstructionRow> time_samples(int threads, const Wanted& wanted);

}  // namespace ringmaster::train
