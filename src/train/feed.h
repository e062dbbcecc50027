// SPDX-License-Identifier: Apache-2.0
// feed: batches into the inputs of a program, grain by grain, and the counts that its losses are divided by.
#pragma once
#include "data/evaluation.h"
#include "data/sampler.h"
#include "exec/executor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

data::BatchMemory batch_memory(exec::Executor& program, int64_t local_grain);

// The global samples of this rank's grains; `first_sample` is the first of the step. Blocks on the disk.
void feed_samples(exec::Executor& program, const data::Sampler& sampler, int64_t first_sample, int64_t grain_size);
// Validation windows from `first_window` on, dealt over the grains of all ranks.
void feed_windows(exec::Executor& program, const data::ValidationWindows& windows, int64_t first_window,
                  int64_t grain_size);

// The runtime scalars "weight.<input>" that a program reads: how many entries of a batch tensor are not 0, over all ranks.
std::vector<std::string> weight_inputs(const ir::Graph& graph);            // the <input>s, sorted
int64_t count_entries(exec::Executor& program, const std::string& input);  // of this rank's grains

}  // namespace ringmaster::train
