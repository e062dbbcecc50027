// SPDX-License-Identifier: Apache-2.0
#include "train/stop.h"

#include <unistd.h>

#include <atomic>

namespace ringmaster::train {
namespace {

std::atomic<int> wishes{0}, interrupts{0};
std::atomic<bool> leaving{false};
static_assert(std::atomic<int>::is_always_lock_free);  // else not for signal handlers

constexpr std::array<int, 3> signals = {SIGUSR1, SIGTERM, SIGINT};

void on_signal(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
  wishes.fetch_add(1);
}

void wait_for(const sigset_t& set) {
  for (int signal = 0;;) {
    const bool came = ::sigwait(&set, &signal) == 0;
    if (leaving) return;
    if (came) on_signal(signal);
  }
}

}  // namespace

// The handlers are for threads that stood before and do not block: without one a signal there would end the process.
StopSignals::StopSignals() {
  wishes = 0;
  interrupts = 0;
  leaving = false;
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone never stops training
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < signals.size(); ++i) {
    ::sigaction(signals[i], &action, &before_[i]);
    sigaddset(&set, signals[i]);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, &mask_before_);
  waiting_ = std::thread([set] { wait_for(set); });
}

StopSignals::~StopSignals() {
  leaving = true;
  ::pthread_kill(waiting_.native_handle(), SIGUSR1);
  waiting_.join();
  for (size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &before_[i], nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

bool StopSignals::requested() { return wishes.load() > 0; }

}  // namespace ringmaster::train
