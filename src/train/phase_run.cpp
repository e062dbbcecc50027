// SPDX-License-Identifier: Apache-2.0
#include "train/phase_run.h"

#include "train/feed.h"

namespace ringmaster::train {

PhaseRun::PhaseRun(Session& session, Wire& wire, size_t index, int64_t offset)
    : phase_(&session.recipe().phases[index]),
      index_(static_cast<uint32_t>(index)),
      offset_(offset),
      training_(&session.config().training),
      program_(&session.executor(phase_->name)),
      wire_(&wire),
      scales_(models::scales_losses(session.config())),
      fixed_(models::adds_integers(session.config())),
      weights_(weight_inputs(program_->graph())),
      counts_(weights_.size() + 1) {}

comm::Sent PhaseRun::sent_once(const exec::Team& team) const {
  return step_exchanged(program_->graph(), static_cast<int64_t>(counts_.size()), team).sent;
}

int64_t PhaseRun::samples_per_step() const {
  if (!program_->reads_batch()) return 0;
  return phase_->samples == models::Samples::fresh ? training_->global_batch_size * phase_->repeats
                                                   : training_->global_batch_size;
}

int64_t PhaseRun::first_sample(int64_t step_first, int64_t repeat) const {
  return step_first + offset_ + (phase_->samples == models::Samples::fresh ? repeat * training_->global_batch_size : 0);
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
  program_->set_scalar(models::Weight{}.scalar(), static_cast<double>(training_->global_batch_size));
  program_->set_scalar("step", static_cast<double>(at.step * phase_->repeats + at.repeat + 1));
  program_->run({.seed = training_->seed,
                 .step = at.step,
                 .phase = index_,
                 .repeat = static_cast<uint32_t>(at.repeat),
                 .first_sample = at.first_sample},
                training_->grain_size);
  loss_ = program_->output_scalar("loss");
  grad_norm_ = program_->output_scalar("grad_norm");
  committed_ = program_->output_scalar("commit") != 0;
  if (fixed_) fits_ = static_cast<int>(program_->output_scalar("fits"));
  if (scales_) loss_scale_ = program_->output_scalar("loss_scale");
  wire_->ran(*program_);
}

std::vector<PhaseRun> phase_runs(Session& session, Wire& wire) {
  std::vector<PhaseRun> phases;
  int64_t offset = 0;
  for (size_t i = 0; i < session.recipe().phases.size(); ++i) {
    phases.emplace_back(session, wire, i, offset);
    offset += phases.back().samples_per_step();
  }
  return phases;
}

int64_t samples_per_step(const std::vector<PhaseRun>& phases) {
  int64_t samples = 0;
  for (const PhaseRun& phase : phases) samples += phase.samples_per_step();
  return samples;
}

}  // namespace ringmaster::train
