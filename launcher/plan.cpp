// SPDX-License-Identifier: Apache-2.0
// plan: what a run will need, before it exists.
#include "core/file.h"
#include "core/isa.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"
#include "train/machine.h"
#include "train/plan_report.h"

#include <nlohmann/json.hpp>

namespace ringmaster::launcher {
namespace {

constexpr int budgets_of_a_sweep = 16;

void check_isa(const std::string& name) {
  if (!isa_from_name(name)) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--isa {}` is not an instruction set that ringmaster knows", name),
                 .key = "--isa",
                 .found = name,
                 .expected = fmt::format("one of: {}", fmt::join(isa_names(), ", ")),
                 .cure = ""});
  }
  const std::string own = train::isa();
  if (name == own) return;
  throw Error(
      {.kind = ErrorKind::usage,
       .message = fmt::format("a plan for {} can only be made where kernels for it can be prepared, and this machine "
                              "has {}",
                              name, own),
       .key = "--isa",
       .found = name,
       .expected = own,
       .cure = fmt::format("leave --isa away, or plan on a machine with {}", name)});
}

}  // namespace

int plan(const Arguments& arguments) {
  if (const auto isa = arguments.value("--isa")) check_isa(*isa);
  const auto memory = arguments.bytes("--memory");
  const config::Resolved resolved = arguments.load_config();
  const train::PlanReport report = train::plan(resolved, {.ranks = static_cast<int>(resolved.config.launch.ranks),
                                                          .threads = 0,
                                                          .memory_bytes = memory.value_or(0),
                                                          .sweep = arguments.has("--sweep") ? budgets_of_a_sweep : 0});
  if (const auto svg = arguments.value("--svg")) write_file_atomic(*svg, train::to_svg(report));
  if (arguments.has("--json"))
    print_json(train::to_json(report));
  else
    print(train::to_text(report));
  return memory && !report.fits ? 3 : 0;
}

}  // namespace ringmaster::launcher
