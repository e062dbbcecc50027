// SPDX-License-Identifier: Apache-2.0
// open: what a configuration reads, opened: the one place that knows every kind of source.
#pragma once
#include "data/evaluation.h"
#include "data/samples.h"
#include "data/source.h"

#include <memory>
#include <string>

namespace ringmaster::data {

struct Opened {
  std::shared_ptr<const TrainingSamples> training;
  std::shared_ptr<const ValidationSamples> validation;
  Dataset dataset;  // the token files behind them
};

// Throws Error (data) if files are missing, unreadable or too short for one batch. Reads no tokens.
Opened open(const config::Config& config);

// Identifies the data: reads every byte once (scan() of source.h).
std::string hash(const Opened& opened, const config::Config& config);

}  // namespace ringmaster::data
