// SPDX-License-Identifier: Apache-2.0
// process: child programs without orphans. A child reads nothing, leads a process group of its own (the terminal's Ctrl-C is
// for us, who know what to do with it), sees nothing of a surrounding MPI job nor OMP_NUM_THREADS (threads are ours to
// say), and gets SIGTERM when we die, however we die.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::launcher {

std::string find_in_path(const std::string& program);  // "" if it is nowhere

// A running child and the reading ends of its stdout and stderr.
class Process {
 public:
  // `line[0]` is the path of the program. Throws Error (io).
  explicit Process(const std::vector<std::string>& line);
  ~Process();  // closes the pipes; does not wait
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  int out() const { return out_; }
  int err() const { return err_; }
  bool ended();
  int wait();  // blocks; the exit code, or 128 + the signal that ended it

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;  // as waitpid gives it; once it is there the pid may be somebody else's
  int out_ = -1, err_ = -1;
};

struct Captured {
  int status = 0;  // as Process::wait
  std::string out, err;
  int64_t peak_resident_bytes = 0;  // VmHWM as last seen, at most a twentieth of a second before its end
};
Captured capture(const std::vector<std::string>& line);  // blocks until the child has ended

}  // namespace ringmaster::launcher
