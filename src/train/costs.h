// SPDX-License-Identifier: Apache-2.0
// costs: the cost tables of this machine, kept in the cache folder by processor, instruction set, threads and version, and what a step takes by
// one. A cache that cannot be read or written only costs time: then the times are estimates.
#pragma once
#include "cost/table.h"
#include "train/session.h"
#include "train/wire.h"

#include <string>

namespace ringmaster::train {

Path costs_file(int threads);
cost::Table load_costs(int threads);  // empty where nothing was calibrated
// Adds to what is kept. Throws Error (io) where that cannot be written.
void keep_costs(const cost::Table& measured, int threads);
// Rank 0's, on every rank: plans of budgets depend on it.
cost::Table share_costs(Wire& wire, int threads);

// Of the phases of one step on this rank, without communication.
double step_seconds(const Programs& programs, const cost::Table& costs);
// Whether all instructions of the phases are of measured ops.
bool is_calibrated(const Programs& programs, const cost::Table& costs);

}  // namespace ringmaster::train
