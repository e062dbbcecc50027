// SPDX-License-Identifier: Apache-2.0
// feed: batches into the inputs of a program, grain by grain, and the counts that its losses are divided by.
#pragma once
#include "data/samples.h"
#include "exec/executor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

data::BatchMemory batch_memory(exec::Executor& program, int64_t local_grain);

// The global samples of this rank's grains; `first_sample` is the first of the step. Blocks on the disk.
void feed_samples(exec::Executor& program, const data::TrainingSamples& samples, int64_t first_sample,
                  int64_t grain_size);
// Held-out samples from `first_sample` on, dealt over the grains of all ranks.
void feed_samples(exec::Executor& program, const data::ValidationSamples& samples, int64_t first_sample,
                  int64_t grain_size);

// The runtime scalars "weight.<input>" that a program reads: how many entries of a batch tensor are not 0, over all ranks.
std::vector<std::string> weight_inputs(const ir::Graph& graph);            // the <input>s, sorted
int64_t count_entries(exec::Executor& program, const std::string& input);  // of this rank's grains

}  // namespace ringmaster::train
