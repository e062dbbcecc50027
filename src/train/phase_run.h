// SPDX-License-Identifier: Apache-2.0
// phase_run: one phase of a recipe as the loop (and the benchmark) runs it: what counts in the batch is agreed, the scalars are set,
// the program runs. The batch itself is in place before.
#pragma once
#include "models/recipe.h"
#include "train/session.h"
#include "train/wire.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

class PhaseRun {
 public:
  // `index` is the phase's place in the recipe; session and wire must outlive it.
  PhaseRun(Session& session, Wire& wire, size_t index);

  const std::string& name() const { return phase_->name; }
  exec::Executor& program() const { return *program_; }
  comm::Sent sent(const comm::RingShape& who) const;  // by one rank in one run, the agreement included

  // Sums over the ranks what counts in the batch, and who wishes to stop. Returns whether anybody does.
  bool agree(bool stop);

  struct At {
    uint64_t seed = 0;
    int64_t step = 0;          // 0-based
    int64_t first_sample = 0;  // of the step
    int64_t grain_size = 1;
    double lr = 0;
  };
  void run(const At& at);

  // Of the last run.
  double loss() const { return program_->output_scalar("loss"); }
  double grad_norm() const { return program_->output_scalar("grad_norm"); }
  bool committed() const { return program_->output_scalar("commit") != 0; }

 private:
  const models::Phase* phase_;
  uint32_t index_;
  exec::Executor* program_;
  Wire* wire_;
  std::vector<std::string> weights_;  // batch tensors whose entries are counted
  std::vector<int64_t> counts_;       // one a weight, then the wishes to stop
};

}  // namespace ringmaster::train
