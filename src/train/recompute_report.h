// SPDX-License-Identifier: Apache-2.0
// recompute_report: what gradient checkpointing saves, in the phase that holds most activations, and costs, in all phases.
#pragma once
#include "train/session.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

// Seconds are of a step, on one rank.
struct RecomputeReport {
  std::string mode;
  int64_t activation_bytes = 0, bytes_of_none = 0;   // at their peak: now, and were all saved
  int64_t saved_bytes = 0, saved_bytes_of_none = 0;  // from forward to backward
  std::optional<int64_t> budget_bytes, minimum_budget_bytes;
  double step_seconds = 0;   // without what is made again
  double extra_seconds = 0;  // for that
  std::optional<double> lower_bound_seconds;
  struct Item {
    std::string scope;  // a block of the model
    int64_t bytes_saved = 0;
    double seconds_added = 0;
  };
  std::vector<Item> items;  // in the order of the program

  // How much longer than need be, as a share of a step; nothing where no bound is known.
  std::optional<double> gap() const;
};
RecomputeReport recompute_report(const Programs& programs, const config::Config& config, const cost::Table& costs);
nlohmann::json to_json(const RecomputeReport& report);
std::string to_text(const RecomputeReport& report);  // "" in mode none

std::string short_seconds(double seconds);  // "1.42 s", "12.3 ms"

}  // namespace ringmaster::train
