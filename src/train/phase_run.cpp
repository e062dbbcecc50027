// SPDX-License-Identifier: Apache-2.0
#include "train/phase_run.h"

#include "train/feed.h"

namespace ringmaster::train {

PhaseRun::PhaseRun(Session& session, Wire& wire, size_t index)
    : phase_(&session.recipe().phases[index]),
      index_(static_cast<uint32_t>(index)),
      program_(&session.executor(phase_->name)),
      wire_(&wire),
      weights_(weight_inputs(program_->graph())),
      counts_(weights_.size() + 1) {}

comm::Sent PhaseRun::sent(const comm::RingShape& who) const {
  return step_sent(program_->graph(), static_cast<int64_t>(counts_.size()), who);
}

bool PhaseRun::agree(bool stop) {
  for (size_t i = 0; i < weights_.size(); ++i) counts_[i] = count_entries(*program_, weights_[i]);
  counts_.back() = stop ? 1 : 0;
  wire_->sum("step.counts", counts_);
  return counts_.back() > 0;
}

void PhaseRun::run(const At& at) {
  for (size_t i = 0; i < weights_.size(); ++i)
    program_->set_scalar(models::Weight{weights_[i]}.scalar(), static_cast<double>(counts_[i]));
  program_->set_scalar("lr", at.lr);
  program_->set_scalar("step", static_cast<double>(at.step + 1));
  program_->run({.seed = at.seed, .step = at.step, .phase = index_, .first_sample = at.first_sample}, at.grain_size);
  wire_->ran(program_->graph());
}

}  // namespace ringmaster::train
