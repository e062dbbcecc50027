// SPDX-License-Identifier: Apache-2.0
// validate: the loss over a whole validation split, its windows dealt over the grains of all ranks.
#pragma once
#include "data/evaluation.h"
#include "exec/executor.h"
#include "train/wire.h"

namespace ringmaster::train {

// Nats a target, the same on every rank; sums are added in f64 in the order of the windows' grains. All ranks call it together.
double validation_loss(exec::Executor& evaluator, const data::ValidationWindows& windows, Wire& wire,
                       int64_t grain_size);

}  // namespace ringmaster::train
