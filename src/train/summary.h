// SPDX-License-Identifier: Apache-2.0
// summary: what a run leaves behind about itself: summary.json at every end, failure.json and a block for people at a bad one.
#pragma once
#include "train/run_files.h"
#include "train/saved.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

// The numbers of one rank; sent as they are to rank 0.
struct RankNumbers {
  int64_t grains = 0;
  int64_t peak_bytes_planned = 0, peak_bytes_measured = 0;
  int64_t process_bytes_planned = 0, process_peak_bytes = 0, process_pss_bytes = 0;
  int64_t wire_bytes_sent_planned = 0, wire_bytes_sent_measured = 0, messages_sent = 0;
  int64_t node_bytes_read_planned = 0, node_bytes_read_measured = 0;  // of the memory of other ranks of the node
  int64_t gemm_flops = 0;
  // calls of the heap by any thread in steps from the third on, their lines in metrics.jsonl included; -1: the program does not count
  int64_t allocations_after_step_2 = -1;
  int64_t page_faults_after_step_2 = 0;
};

// What does not change during a run.
struct Facts {
  int ranks = 1, threads = 1;
  int64_t parameters = 0;
  std::string compute, cpu, isa, version, build_hash, config_hash, data_hash, plan_hash;
  double predicted_step_seconds = 0;  // of rank 0
  bool calibrated = false;            // that is measured on this machine
  std::string numerics, wire;         // training.numerics; how gradients travel
};
std::string build_hash();  // SHA-256 of the running program; "" if it cannot be read

// What happened, as far as the loop got.
struct Progress {
  RunState state;
  std::optional<double> loss, validation_loss;
  std::string params_hash, state_hash;  // of the last checkpoint of this attempt
  std::vector<double> step_seconds;     // of this attempt
  int64_t tokens_per_step = 0;
  int64_t redone_steps = 0;   // of this attempt
  int64_t skipped_steps = 0;  // likewise
  double wall_seconds = 0;
};
double median(std::vector<double> values);  // 0 of none

struct End {
  std::string status;  // done | saved | failed | diverged | timeout
  int exit_code = 0;
};
// `ranks` holds what is known: a rank that failed alone knows only itself.
Json summary_json(const End& end, const Facts& facts, const Progress& progress,
                  const std::vector<std::optional<RankNumbers>>& ranks);

struct Failure {
  int rank = 0, ranks = 1;
  std::string host;
  int64_t step = 0;                // the one under way, 1-based
  std::string phase;               // load, data, train, validation, checkpoint
  std::string instruction, scope;  // under way, or ""
  std::string cause, cure;
  struct Waiting {
    int rank = 0, peer = 0;
    uint64_t sequence = 0;
    std::string what;  // "all_reduce #88 (gradients)"
    double seconds = 0;
  };
  std::optional<Waiting> waiting;
  std::string saved;  // "step 1,200 in PATH", or ""
};
Json to_json(const Failure& failure);
std::string to_text(const Failure& failure);  // ends with a newline

}  // namespace ringmaster::train
