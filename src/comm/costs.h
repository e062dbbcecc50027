// SPDX-License-Identifier: Apache-2.0
// costs: alpha, beta and gamma of the ranks of a job, measured by collectives of two sizes.
#pragma once
#include "comm/comm.h"

#include <string>

namespace ringmaster::comm {

// The medians of a few all_reduces by each algorithm, as rank 0 has timed them; the same on every rank. All ranks call it. Blocks.
Costs measure_costs(Communicator& comm);
Sent costs_sent(const RingShape& who);  // what measure_costs sends; of `who` only rank, size and segment_bytes count

std::string to_text(const Costs& costs);
std::optional<Costs> costs_from_text(std::string_view text);  // nothing where it is not one of to_text, whole

}  // namespace ringmaster::comm
