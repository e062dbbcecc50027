// SPDX-License-Identifier: Apache-2.0
// fabric: how a rank reaches the others: by messages, and where ranks of a node share memory by reading each other's.
#pragma once
#include <memory>

#include "comm/node.h"
#include "exec/arena.h"
#include "exec/team.h"

namespace ringmaster::exec {

class Fabric {
 public:
  explicit Fabric(comm::Communicator& comm, bool share_memory = false)
      : comm_(comm), team_(team_of(comm, share_memory)) {
    if (team_.shares()) lane_ = comm::make_group(lane_group, comm.lane(), comm.rank());
  }

  // Maps what `arena` has set aside for that. Throws Error (memory, rank). All ranks call it. Blocks.
  void share(const Arena& arena);

  comm::Communicator& comm() const { return comm_; }
  const Team& team() const { return team_; }
  comm::NodeCollective& node() const { return *node_; }  // where the team shares memory, after share()
  const comm::Group* lane() const { return team_.shares() ? &lane_ : nullptr; }  // null: all ranks
  int64_t exchange_at() const { return exchange_at_; }  // offset in the arena of the segment that others read

 private:
  static constexpr int lane_group = 1;
  comm::Communicator& comm_;
  Team team_;
  comm::Group lane_;
  std::unique_ptr<comm::NodeMemory> memory_;
  std::unique_ptr<comm::NodeCollective> node_;
  int64_t exchange_at_ = 0;
};

}  // namespace ringmaster::exec
