// SPDX-License-Identifier: Apache-2.0
// phase_run: one phase of a recipe as the loop (and the benchmark) runs it: what counts in the batch is agreed, the scalars are set,
// the program runs. The batch itself is in place before.
#pragma once
#include "models/recipe.h"
#include "train/session.h"
#include "train/wire.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

class PhaseRun {
 public:
  // `index` is the phase's place in the recipe, `offset` the first sample of a step that is its; session and wire must outlive it.
  PhaseRun(Session& session, Wire& wire, size_t index, int64_t offset);

  const models::Phase& phase() const { return *phase_; }
  const std::string& name() const { return phase_->name; }
  exec::Executor& program() const { return *program_; }
  comm::Sent sent_once(const exec::Team& team) const;  // by one rank in one run, the agreement included

  // Samples that a step reads here, all ranks together; 0 of a phase that only draws.
  int64_t samples_per_step() const;
  // The first sample of a repeat; `step_first` is the step's.
  int64_t first_sample(int64_t step_first, int64_t repeat) const;

  // Sums over the ranks what counts in the batch, and who wishes to stop. Returns whether anybody does.
  bool agree(bool stop);

  struct At {
    int64_t step = 0;          // 0-based
    int64_t repeat = 0;        // of the phase within the step
    int64_t first_sample = 0;  // of this run
    double lr = 0;
  };
  void run(const At& at);

  // Of the last run; kept here, because the next program overwrites what this one left in the arena.
  double loss() const { return loss_; }
  double grad_norm() const { return grad_norm_; }
  bool committed() const { return committed_; }
  double loss_scale() const { return loss_scale_; }  // of the gradients; 1 where they are not scaled
  // A gradient did not fit the grid that its past had decided; the one kept now is made for it: the same samples again.
  bool needs_redo() const { return !committed_ && fits_ == 0 && std::isfinite(loss_); }
  // It overflowed in f16 and not for good: the same samples again, at half the scale that is now kept, may well succeed.
  bool overflowed() const { return !committed_ && !needs_redo() && loss_scale_ > 1 && std::isfinite(loss_); }

 private:
  const models::Phase* phase_;
  uint32_t index_;
  int64_t offset_;
  const config::Training* training_;
  exec::Executor* program_;
  Wire* wire_;
  bool scales_;                       // losses
  bool fixed_;                        // gradients are integers
  std::vector<std::string> weights_;  // batch tensors whose entries are counted
  std::vector<int64_t> counts_;       // one a weight, then the wishes to stop
  double loss_ = 0, grad_norm_ = 0, loss_scale_ = 1;
  int fits_ = 1;  // 0: the integers of a gradient did not; -1: one is not finite
  bool committed_ = false;
};

// The phases of the session's recipe. The samples of a step are those of its phases, one behind the other.
std::vector<PhaseRun> phase_runs(Session& session, Wire& wire);
int64_t samples_per_step(const std::vector<PhaseRun>& phases);

}  // namespace ringmaster::train
