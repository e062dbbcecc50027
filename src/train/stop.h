// SPDX-License-Identifier: Apache-2.0
// stop: the wish to stop, from a signal (SIGUSR1 from the launcher, SIGTERM, SIGINT) to the loop, which agrees on it with the
// other ranks at the next step.
#pragma once

namespace ringmaster::train {

// Installs the handlers for its lifetime and ignores SIGPIPE; one at a time in a process. A second SIGINT ends the process with 130.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static bool requested();
};

}  // namespace ringmaster::train
