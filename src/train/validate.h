// SPDX-License-Identifier: Apache-2.0
// validate: the loss over all held-out samples, dealt over the grains of all ranks.
#pragma once
#include "data/samples.h"
#include "exec/executor.h"
#include "train/wire.h"

namespace ringmaster::train {

// The mean over the targets (nats, of a language model), the same on every rank; sums are added in f64 in grain order. All ranks
// call it together.
double validation_loss(exec::Executor& evaluator, const data::ValidationSamples& samples, Wire& wire,
                       int64_t grain_size);

}  // namespace ringmaster::train
