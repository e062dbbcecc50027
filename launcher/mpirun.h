// SPDX-License-Identifier: Apache-2.0
// mpirun: starts ranks on this machine and stays above them until all are gone. mpirun gets SIGTERM when this process dies,
// and a rank SIGKILL when mpirun does (job.h): no orphans.
// Surprising: ranks that we start write what people read on stdout, because mpirun puts its own words on stderr. Two streams,
// and nothing to filter.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/arguments.h"

namespace ringmaster::launcher {

// The arguments of a rank: `more`, which only the launcher can know, and those of this command without --ranks and --dry-run.
std::vector<std::string> rank_words(const Arguments& arguments, const std::vector<std::string>& more = {});

// mpirun with its flags, this program, its arguments. Throws Error (usage) if there is no mpirun.
std::vector<std::string> launch_line(int ranks, const std::vector<std::string>& words);
std::string shell_text(const std::vector<std::string>& line);

struct Lost {
  int rank = 0;
  std::string host;
  int signal = 0;
};

struct Ended {
  int status = 0;            // of mpirun: its exit code, or 128 + the signal that ended it
  bool interrupted = false;  // by a second Ctrl-C
  bool outlived = false;     // it went on after its ranks had closed the run, until we ended it
  bool heard = false;        // the ranks said something
  std::string said;          // mpirun's own words, without rules and repetitions
  std::optional<Lost> lost;  // the rank that mpirun says was killed
};

// What the run folder says of the ranks.
struct Signs {
  std::function<bool()> ranks_listen;  // they can hear a wish to stop
  std::function<bool()> run_closed;    // one of them has written how the run ended; all of them are about to go
};

// Starts the line and blocks until mpirun has ended; the ranks' words go to stderr as they come. Ctrl-C, SIGTERM and SIGHUP
// ask the ranks to save and stop (SIGUSR1) as soon as they listen; a second Ctrl-C ends them. So does a run that has been
// closed for 10 s.
Ended run_ranks(const std::vector<std::string>& line, const Signs& signs);

// The exit code of the contract: those of ranks come through, anything else is 1.
int exit_code(const Ended& ended);

// Runs a command that makes data on several ranks: rank 0's stdout becomes ours once the job has done it all. Returns the
// exit code; Ctrl-C ends everything at once.
int run_data_job(const Arguments& arguments, int ranks);

}  // namespace ringmaster::launcher
