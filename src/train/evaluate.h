// SPDX-License-Identifier: Apache-2.0
// evaluate: the validation loss of a checkpoint.
#pragma once
#include "comm/comm.h"
#include "core/file.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

struct EvaluateOptions {
  Path from;                      // a run folder (its newest checkpoint) or a checkpoint
  std::string data;               // --data: all of this file is the validation split; empty: that of the run
  std::vector<std::string> sets;  // texts after --set
};

struct Evaluation {
  int64_t step = 0;
  double validation_loss = 0;
  std::string unit, items;  // of the loss, "nats" or none, and what it is a mean over: "tokens"
  int64_t validation_tokens = 0;
  std::string params_hash;
};
nlohmann::json to_json(const Evaluation& evaluation);  // schema ringmaster.eval/1

// Blocks. The work is dealt over the ranks; every rank gets the result. Throws Error.
Evaluation evaluate(const EvaluateOptions& options, comm::Communicator& comm);

}  // namespace ringmaster::train
