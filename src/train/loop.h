// SPDX-License-Identifier: Apache-2.0
// loop: the steps of a run: feed, count, run, decide, record, and now and then validate and save. All ranks run it in step; only
// rank 0 writes files and speaks.
#pragma once
#include "data/open.h"
#include "train/phase_run.h"
#include "train/sentinel.h"
#include "train/summary.h"
#include "train/terminal.h"
#include "train/wire.h"

#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

// Of update `step`, counted from 0.
double learning_rate(const config::Config& config, int64_t step);

struct LoopParts {
  const config::Resolved& resolved;
  int attempt = 1;
  Wire& wire;
  Session& session;
  const data::Opened& data;
  Terminal& terminal;
  MetricsFile* metrics = nullptr;  // rank 0 only
  Progress& progress;              // where to go on from, and what has happened
};

class Loop {
 public:
  explicit Loop(const LoopParts& parts);

  // Blocks until the last step, a stop signal on any rank (saved), or a step that must not be committed (diverged).
  End run();

  const std::string& phase() const { return phase_; }  // load, data, train, validation, checkpoint: for failure reports
  struct Divergence {
    std::string what, aftermath;  // which number is not finite; what that means for the weights and for what is saved
  };
  const Divergence& divergence() const { return divergence_; }
  const std::string& checkpoint_path() const { return checkpoint_path_; }  // the last one of this attempt; rank 0
  const std::string& best_path() const { return best_path_; }  // likewise, with checkpoint.keep_best; "" without
  Curve curve() const;                                         // rank 0
  RankNumbers numbers() const;                                 // of this rank, so far
  const ir::Node* current() const;                             // the instruction under way; null between runs

 private:
  enum class Outcome : uint8_t { committed, skipped, redo, stop, diverged };
  struct Clock {  // what the step under way took: seconds
    double data = 0, compute = 0, comm = 0, total = 0;
    int64_t wire_bytes = 0;  // of all ranks
  };
  Outcome step();
  Outcome run_phase(PhaseRun& phase, int64_t repeat, Clock& clock);
  void record_step(const Clock& clock);
  void show_step(const Clock& clock);
  void record_skip(const PhaseRun& phase);
  bool validate();  // false: the loss is not finite
  bool is_best(int64_t step) const;
  bool save();  // false: a weight is not finite, nothing was saved
  std::optional<double> baseline();

  LoopParts p_;
  const config::Config& config_;
  std::vector<PhaseRun> phases_;
  Sentinel sentinel_;
  exec::Executor& evaluator_;
  int64_t step_samples_ = 0;             // that a step reads
  std::vector<int64_t> run_wire_bytes_;  // by phase: that all ranks send in one of its runs
  int64_t gemm_flops_ = 0, faults_ = 0, allocations_ = 0;
  JsonLine line_;       // of the step
  std::string losses_;  // as the terminal shows them
  int64_t saved_step_ = -1;
  bool redone_ = false;     // a phase of the step under way ran again, on grids made for its gradients
  bool again_ = false;      // it is about to
  bool half_done_ = false;  // the step under way has changed weights: an earlier phase, or repeat, was committed
  Divergence divergence_;
  std::string phase_ = "load", checkpoint_path_, best_path_;
  std::optional<std::optional<double>> baseline_;
};

}  // namespace ringmaster::train
