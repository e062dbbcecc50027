// SPDX-License-Identifier: Apache-2.0
// sentinel: finds bits of weights and optimizer states that have changed without being written (training.verify_interval). What a rank
// writes it hashes at once; before it writes there again, the hash must still hold: a flip in sharded state, which has no replica, is
// found so. And ranks that keep the same must have hashed the same: one that has computed something else is found so.
#pragma once
#include "train/phase_run.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringmaster::train {

class Sentinel {
 public:
  // Every `interval` steps; 0: never. The others must outlive it, and stay where they are.
  Sentinel(const Session& session, Wire& wire, std::span<const PhaseRun> phases, int64_t interval);

  // A phase has committed a run of this step (0-based). Where one is due this hashes, and compares with the other ranks, which all
  // call it. Blocks. Throws Error (rank) on every rank, naming the tensor, where replicas differ.
  void committed(const PhaseRun& phase, int64_t step);

 private:
  using Hash = std::array<uint64_t, 2>;
  // What one state_write of a phase writes on this rank.
  struct Written {
    const ir::State* state;
    std::span<const std::byte> bytes;
    Hash hash = {};
  };
  struct Watched {
    const PhaseRun* phase;
    std::vector<Written> written;
    bool hashed = false;
  };
  void check(Watched& watched) const;  // throws Error (rank)
  void compare(const Watched& watched) const;

  Wire& wire_;
  exec::Team team_;
  int64_t interval_;
  std::vector<Watched> watched_;  // by phase
};

}  // namespace ringmaster::train
