// SPDX-License-Identifier: Apache-2.0
// team: where a rank stands among those with which it divides a step. Plans need no more to count what it will send and read.
#pragma once
#include <cstdint>

#include "comm/comm.h"

namespace ringmaster::exec {

struct Team {
  int rank = 0, size = 1;
  int node_rank = 0, node_size = 1;  // among the ranks that share memory; of 1 nobody does
  int node = 0;                      // among the nodes, each of as many ranks
  int64_t segment_bytes = comm::usual_segment_bytes;
  comm::Choice choice = {};  // of algorithms between nodes

  int nodes() const { return size / node_size; }
  bool shares() const { return node_size > 1; }
};

// A rank of a job. Nodes of different sizes share nothing: who owns what would differ from node to node.
inline Team team_of(const comm::Communicator& comm, bool share_memory) {
  const bool shares = share_memory && !comm.lane().empty() && comm.node_size() > 1;
  Team team{.rank = comm.rank(),
            .size = comm.size(),
            .node = comm.rank(),
            .segment_bytes = comm.options().segment_bytes,
            .choice = comm.choice()};
  if (!shares) return team;
  team.node_rank = comm.node_rank();
  team.node_size = comm.node_size();
  for (team.node = 0; comm.lane()[static_cast<size_t>(team.node)] != comm.rank();) ++team.node;
  return team;
}

// A rank of a job that is only planned, `node_size` ranks on each node one after the other; 1: no memory is shared.
inline Team planned_team(int rank, int size, int node_size, int64_t segment_bytes, const comm::Choice& choice = {}) {
  if (size % node_size != 0) node_size = 1;
  return {.rank = rank,
          .size = size,
          .node_rank = rank % node_size,
          .node_size = node_size,
          .node = rank / node_size,
          .segment_bytes = segment_bytes,
          .choice = choice};
}

}  // namespace ringmaster::exec
