// SPDX-License-Identifier: Apache-2.0
// eval: the reference evaluator. Runs a program node by node with the ops' f64 loops; what kernels and passes are judged by.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace ringmaster::ir {

struct EvalInputs {
  std::map<std::string, std::vector<RefTensor>> inputs;  // by name, one tensor a grain
  std::map<std::string, double> scalars;
  std::map<std::string, RefTensor> states;  // read and, by state_write, changed
  RunContext context;                       // seed, step, phase; first_sample is of grain 0
  int64_t num_grains = 1;
  int64_t grain_size = 1;  // samples
};

// Values by name of the program's `output` nodes. All grains run here: collectives are identities.
std::map<std::string, RefTensor> evaluate(const Graph& graph, EvalInputs& in);

}  // namespace ringmaster::ir
