// SPDX-License-Identifier: Apache-2.0
// eval: the validation loss of a checkpoint, in this process.
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/output.h"
#include "train/evaluate.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace ringmaster::launcher {

int eval(const Arguments& arguments) {
  const auto comm = comm::make_single();
  const train::Evaluation result = train::evaluate(
      {.from = arguments.target(), .data = arguments.value("--data").value_or(""), .sets = arguments.values("--set")},
      *comm);
  const bool finite = std::isfinite(result.validation_loss);
  const int code = finite ? 0 : exit_code(ErrorKind::diverged);
  if (arguments.has("--json")) {
    print_json(train::to_json(result));
    return code;
  }
  const std::string item = result.items.substr(0, result.items.size() - 1);
  const std::string unit = result.unit.empty()     ? ""
                           : result.unit == "nats" ? fmt::format(" nats a {}", item)
                                                   : " " + result.unit;
  print(
      fmt::format("step             {}\n"
                  "validation loss  {}\n"
                  "{:<17}{}\n"
                  "params hash      {}\n",
                  result.step, finite ? fmt::format("{:.4f}{}", result.validation_loss, unit) : "not finite",
                  result.items, result.validation_tokens, result.params_hash));
  return code;
}

}  // namespace ringmaster::launcher
