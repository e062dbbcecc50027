// SPDX-License-Identifier: Apache-2.0
// calibrate: what each distinct instruction of a configuration takes on this machine, measured within training steps, where it finds
// in the caches what it will find there. Steps of mode none and of mode block take turns with a product alone, which tells how fast
// the machine was meanwhile.
#pragma once
#include "config/load.h"
#include "cost/table.h"

#include <cstdint>
#include <functional>
#include <string>

namespace ringmaster::train {

struct CalibrateOptions {
  int threads = 1;
  double seconds = 12;  // how long to measure; a step or two of each mode of two layers are measured in any case
  std::function<void(double share, const std::string& what)> progress = {};
};

struct Calibration {
  cost::Table table;
  int64_t layers = 0;          // of the model whose steps ran: fewer than the configuration has where these take long
  int64_t steps = 0;           // timed
  double seconds = 0;          // all of it
  double product_seconds = 0;  // median of the product alone
};

// One rank with data of its own, in memory. Blocks; throws as a run of `config` on one rank does, before data is asked for.
Calibration calibrate(const config::Resolved& resolved, const CalibrateOptions& options);

}  // namespace ringmaster::train
