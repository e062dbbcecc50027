// SPDX-License-Identifier: Apache-2.0
// train: one training run, seen from a rank. train() is the whole life of a run between the launcher and the exit code; check() is
// all of it that can be refused before anything exists. The run folder is config.output.dir (--run-dir stands for that key).
#pragma once
#include "comm/comm.h"
#include "config/load.h"
#include "core/file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

enum class Resume : uint8_t {
  automatic,  // from the newest checkpoint of the run folder, if there is one
  never,      // from scratch
  folder,     // from `resume_from`
};

struct TrainOptions {
  config::Resolved resolved;
  Resume resume = Resume::automatic;
  Path resume_from;                          // a checkpoint, or a run folder (its newest checkpoint)
  std::string dump_graph;                    // folder for the IR after each pass; empty: nowhere
  std::vector<std::string> disabled_passes;  // names
  bool quiet = false;                        // nothing on stderr but errors and warnings
  std::string command;                       // as typed, for launch.json
  int attempt = 1;                           // 1-based; counts the starts by one launcher
  int64_t launcher_pid = 0;                  // 0: this process
  int64_t mpirun_pid = 0;                    // 0: none
  int terminal_columns =
      0;  // whatever this process sees: stderr ends on a terminal of this width (> 0), on none (-1); 0: look
  bool in_process = false;  // ranks are threads (tests): a failing rank throws instead of ending the job
};

// Throws what is wrong with the run and can be known by one process without MPI: configuration, passes, data, run folder, the
// checkpoint to resume from. Creates nothing. Reads the data once. The launcher calls it, and rank 0 again.
void check(const TrainOptions& options);

// Blocks until the run has ended; returns the exit code of docs/run-folder.md (0, 2, 3, 4, 5, 75 or 1), the same on every rank that
// returns. Errors have been printed by then. A rank that fails alone ends the job (comm.abort) and does not return. On return
// the communicator is idle and not finalized. Stops at signals while a StopSignals (stop.h) stands.
int train(const TrainOptions& options, comm::Communicator& comm);

const char* version();  // of the program, "0.1.0"

}  // namespace ringmaster::train
