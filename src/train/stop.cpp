// SPDX-License-Identifier: Apache-2.0
#include "train/stop.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

namespace ringmaster::train {
namespace {

std::atomic<int> wishes{0}, interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);  // else not for signal handlers

constexpr std::array<int, 3> signals = {SIGUSR1, SIGTERM, SIGINT};
std::array<struct sigaction, signals.size()> before;

void on_signal(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
  wishes.fetch_add(1);
}

}  // namespace

StopSignals::StopSignals() {
  wishes = 0;
  interrupts = 0;
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone never stops training
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &action, &before[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &before[i], nullptr);
}

bool StopSignals::requested() { return wishes.load() > 0; }

}  // namespace ringmaster::train
