// SPDX-License-Identifier: Apache-2.0
// failure: what the launcher says and writes when ranks ended without a word: killed, or never started. Ranks that can still
// speak write failure.json and summary.json themselves.
#pragma once
#include <sys/stat.h>

#include <map>
#include <string>

#include "config/config.h"
#include "core/file.h"
#include "launcher/mpirun.h"

namespace ringmaster::launcher {

// Remembers the files of a run folder as they are before an attempt, to tell which ones the attempt wrote.
class RunFiles {
 public:
  explicit RunFiles(Path folder);
  const Path& folder() const { return folder_; }
  bool written(const char* name) const;  // since construction

 private:
  struct Stamp {
    ino_t inode = 0;
    timespec modified{};
  };
  Stamp stamp(const char* name) const;
  Path folder_;
  std::map<std::string, Stamp> before_;
};

// After ranks that closed the run but could not end mpirun, which may have kept their words to itself: repeats the cause.
// Returns the exit code that they wrote.
int tell_closed_run(const RunFiles& files);

// After ranks that ended without finishing their work: prints why, if they could not, and completes the run folder.
void close_failed_run(const RunFiles& files, const Ended& ended, const config::Config& config);

}  // namespace ringmaster::launcher
