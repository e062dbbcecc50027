// SPDX-License-Identifier: Apache-2.0
// plan: what a run will need, before it exists.
#include "core/file.h"
#include "core/isa.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"
#include "train/calibrate.h"
#include "train/costs.h"
#include "train/machine.h"
#include "train/plan_report.h"
#include "train/terminal.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <optional>

namespace ringmaster::launcher {
namespace {

constexpr int64_t usual_points = 16;

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

// Budgets of a sweep; 0: no sweep.
int points(const Arguments& arguments) {
  const auto points = arguments.integer("--points", {2, 1000});
  if (arguments.has("--sweep")) return static_cast<int>(points.value_or(usual_points));
  if (!points) return 0;
  throw Error({.kind = ErrorKind::usage,
               .message = "--points says how many budgets a sweep has, and there is none",
               .key = "--points",
               .found = std::to_string(*points),
               .cure = "add --sweep, or leave --points out"});
}

// On a terminal a line that grows, elsewhere nothing until it is done.
void show_progress(double share, const std::string& what) {
  if (::isatty(STDERR_FILENO) == 0) return;
  const std::string drawn = train::bar(share, train::utf8_locale());
  chatter(fmt::format("\rcalibrating  {}{}  {}\033[K", drawn, std::string(20 - train::cells(drawn), ' '), what));
}

train::Calibration calibrate(const config::Resolved& resolved, int threads) {
  const train::Calibration found = train::calibrate(resolved, {.threads = threads, .progress = show_progress});
  if (::isatty(STDERR_FILENO) != 0) chatter("\r\033[K");
  std::string kept = "kept in " + train::costs_file(threads).string();
  try {
    train::keep_costs(found.table, threads);
  } catch (const Error& e) { kept = "not kept: " + e.info().message; }
  const int64_t layers = resolved.config.model.layers;
  note(fmt::format("calibrated {} kinds of instructions in {:.1f} s, {} steps of {}; {}", found.table.size(),
                   found.seconds, found.steps,
                   found.layers == layers ? "the model" : fmt::format("{} of its {} layers", found.layers, layers),
                   kept));
  return found;
}

nlohmann::json to_json(const train::Calibration& found) {
  return {{"instructions", found.table.size()},
          {"layers", found.layers},
          {"steps", found.steps},
          {"seconds", found.seconds},
          {"product_seconds", found.product_seconds}};
}

// Before anything is measured.
void check_drawing(const Arguments& arguments) {
  arguments.check_folder_of("--svg");
  const auto file = arguments.value("--svg");
  std::error_code unknown;
  if (!file || !std::filesystem::equivalent(*file, arguments.target(), unknown)) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("--svg {} would replace the configuration", *file),
               .key = "--svg",
               .found = *file,
               .expected = "another file"});
}

}  // namespace

int plan(const Arguments& arguments) {
  check_drawing(arguments);
  if (const auto isa = arguments.value("--isa")) check_isa(*isa);
  const auto memory = arguments.bytes("--memory");
  const config::Resolved resolved = arguments.load_config();
  const auto ranks = static_cast<int>(resolved.config.launch.ranks);
  train::PlanOptions options{.ranks = ranks,
                             .threads = train::threads_per_rank(resolved.config.launch.threads_per_rank, ranks),
                             .memory_bytes = memory.value_or(0),
                             .sweep = points(arguments)};
  options.costs = train::load_costs(options.threads);
  options.choice = train::known_choice(resolved.config.comm, ranks);
  std::optional<train::Calibration> calibration;
  if (arguments.has("--calibrate")) {
    try {
      calibration = calibrate(resolved, options.threads);
      options.costs.merge(calibration->table);
    } catch (const train::MemoryError& e) {  // the plan says what would fit
      note("not calibrated: " + e.info().message);
    }
  }
  const train::PlanReport report = train::plan(resolved, options);
  if (const auto svg = arguments.value("--svg")) write_file_atomic(*svg, train::to_svg(report));
  if (arguments.has("--json")) {
    nlohmann::json out = train::to_json(report);
    if (calibration) out["calibration"] = to_json(*calibration);
    print_json(out);
  } else {
    print(train::to_text(report));
  }
  return memory && !report.fits ? 3 : 0;
}

}  // namespace ringmaster::launcher
