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
  Dataset dataset;  // the token files behind them, if they come from files
};

// What a sample of the configured source holds, and that source in words. Reads nothing.
struct Offer {
  std::string source;  // "files of tokens"
  std::string items;   // what tokens_per_sample() counts: "tokens", "points"
  std::vector<Field> fields;
};
Offer offer(const config::Config& config);

// Throws Error (data) if files are missing, unreadable or too short for one batch. Reads no tokens.
Opened open(const config::Config& config);

// Identifies the data: of files by reading every byte once (scan() of source.h), of generated sets by what they are.
std::string hash(const Opened& opened, const config::Config& config);

}  // namespace ringmaster::data
