// SPDX-License-Identifier: Apache-2.0
// comm_choice: by which algorithms a run does its collectives. What comm.algorithm says; where that is auto, the quickest by the costs of
// this set of machines, which are measured once and kept in the cache folder by host names and ranks a host.
#pragma once
#include "config/config.h"
#include "train/wire.h"

#include <string>
#include <vector>

namespace ringmaster::train {

// Sets the communicator's choice, the same on every rank, before anything is planned. Blocks; every rank calls it.
void choose_algorithms(Wire& wire, const config::Comm& config);

// What a run of `ranks` ranks on this machine alone would choose by now, without asking anybody: for a plan.
comm::Choice known_choice(const config::Comm& config, int ranks);

// One line for each collective of a step's program: what it sums and by which algorithm.
struct PlannedCollective {
  std::string program;
  int64_t bytes = 0;
  std::string algorithm;  // of messages; "node": by reading the memory of the node's ranks
};
std::vector<PlannedCollective> collectives_of(const ir::Graph& graph, const exec::Team& team);

}  // namespace ringmaster::train
