// SPDX-License-Identifier: Apache-2.0
// bench_step: training steps on seeded random token ids, or on generated samples, timed in process. No files.
#pragma once
#include "comm/comm.h"
#include "config/load.h"
#include "data/open.h"
#include "train/phase_run.h"
#include "train/roofline.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ringmaster::train {

// What tables show of a node: all but its times, runs and FLOPs.
InstructionRow row_of(const ir::Graph& graph, const ir::Node& node);

struct BenchStepOptions {
  int64_t warmup = 3;                  // steps
  const cost::Table* costs = nullptr;  // budgets are planned by it; null: what is kept of this machine
};

class BenchStep {
 public:
  // Compiles, initialises the weights and warms up. All ranks of `comm` construct and call together. Blocks.
  BenchStep(const config::Resolved& resolved, comm::Communicator& comm, const BenchStepOptions& options = {});

  // Seconds of each of `steps` steps, rank 0's clock, all ranks entering together.
  std::vector<double> run(int64_t steps);
  int64_t tokens_per_step() const;
  std::string items() const { return data::offer(config_).items; }  // what it counts: "tokens", "points"
  const Session& session() const { return *session_; }
  std::vector<InstructionRow> instructions() const;  // of this rank over the timed steps, slowest first
  // Runs one step more, with `observer` before each kernel.
  void observe(const std::function<void(const exec::Instant&)>& observer);

 private:
  void step();
  void feed_random(exec::Executor& program) const;

  config::Config config_;
  comm::Communicator& comm_;
  Wire wire_;
  std::unique_ptr<Session> session_;
  std::vector<PhaseRun> phases_;
  std::shared_ptr<const data::TrainingSamples> samples_;  // null: random ids
  int64_t step_ = 0;
  int64_t timed_steps_ = 0;
};

}  // namespace ringmaster::train
