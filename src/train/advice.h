// SPDX-License-Identifier: Apache-2.0
// advice: the smallest changes to a configuration that make its plan fit.
#pragma once
#include "config/config.h"
#include "cost/table.h"
#include "train/session.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

struct Advice {
  std::vector<std::string> set;  // "key=value", for --set
  int64_t peak_bytes = 0;
  int64_t rank_bytes = 0;     // to be held against the grant
  double step_seconds = 0;    // as the cost table has it
  bool changes_bits = false;  // weights will be others than those of the configuration as it stands
  bool smaller_model = false;
};

// What a rank may take: its process, or its share of what its node holds (Programs::beside_arena).
struct Grant {
  int64_t bytes = 0;
  bool per_process = false;
};

// What fits it: saving fewer activations alone; else each of a smaller grain, 16-bit products, split masters and 16-bit
// moments that suffices, with as much saved as fits; else the fewest of them together, in that order; else all of them and as many
// layers as fit. Empty: nothing does.
std::vector<Advice> advise(const config::Config& config, const ProgramOptions& options, const Grant& grant,
                           const cost::Table& costs);
nlohmann::json to_json(const std::vector<Advice>& advice);
std::string to_text(const std::vector<Advice>& advice);  // of a plan; "" where there is none
std::string as_cure(const std::vector<Advice>& advice);  // of an error, a line each

}  // namespace ringmaster::train
