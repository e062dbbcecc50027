// SPDX-License-Identifier: Apache-2.0
// compare: two runs of one configuration, line by line and tensor by tensor: where do they first differ? With training.numerics
// invariant they do not, on whatever number of ranks they ran (docs/decisions/numerics.md).
#pragma once
#include "train/run_files.h"

#include <optional>

namespace ringmaster::train {

// Is a field of metrics.jsonl the same in every run of one configuration and data? Not what tells times, places and ranks.
bool is_deterministic(std::string_view field);

struct Comparison {
  struct Field {
    int64_t step = 0;
    std::string field;
    Json a, b;  // null: not there
  };
  struct Tensor {
    int64_t step = 0;
    std::string name;
    int64_t count = 0;     // elements that differ; all of them where shape or dtype do
    double max_abs = 0.0;  // of their differences; NaN where these are none
  };
  int64_t steps_compared = 0;    // that both have finished
  std::optional<Field> field;    // the first that differs; of a line that one run lacks, its kind
  std::optional<Tensor> tensor;  // in the first checkpoints of one step that differ
  int64_t checkpoint_step = -1;  // the newest step of which both have a checkpoint; -1: none, and the rest says nothing
  bool params_equal = true, state_equal = true;

  bool equal() const { return !field && !tensor && params_equal && state_equal; }
};

// Up to the last step that both have finished. Checkpoints and validations of steps at which only one run has them are passed over.
// Throws Error (checkpoint): not the folder of a run, a damaged checkpoint; (usage): no step and no checkpoint in common.
Comparison compare(const Path& a, const Path& b);

}  // namespace ringmaster::train
