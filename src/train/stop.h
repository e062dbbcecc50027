// SPDX-License-Identifier: Apache-2.0
// stop: the wish to stop, from a signal (SIGUSR1 from the launcher, SIGTERM, SIGINT) to the loop, which agrees on it with the
// other ranks at the next step.
// No thread that computes may run a signal handler: oneDNN's f32 matrix product moves the stack pointer into its workspace
// (jit_avx512_core_gemm), and the kernel would lay the handler's frame over whatever the heap holds below it.
#pragma once
#include <array>
#include <csignal>
#include <thread>

namespace ringmaster::train {

// For its lifetime blocks these signals in the calling thread and in all that it makes, and takes them in a thread of its own; so it
// stands before MPI and OpenMP make theirs. Ignores SIGPIPE. One at a time in a process. A second SIGINT ends the process with 130.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static bool requested();

 private:
  sigset_t mask_before_{};
  std::array<struct sigaction, 3> before_{};
  std::thread waiting_;
};

}  // namespace ringmaster::train
