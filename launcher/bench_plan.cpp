// SPDX-License-Identifier: Apache-2.0
// bench plan: is the plan right on this machine? What it predicts of steps under several budgets of activations, held against those
// steps. Machines drift, so calibration and steps take turns, and times are compared as multiples of a product alone meanwhile.
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"
#include "train/calibrate.h"
#include "train/costs.h"
#include "train/laps.h"
#include "train/machine.h"
#include "train/recompute_report.h"
#include "train/summary.h"
#include "train/terminal.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

namespace ringmaster::launcher {
namespace {

using nlohmann::json;
using train::median;

constexpr double seconds_of_steps = 3;
constexpr const char* usual_budgets = "none,selective,block,50%,25%";

// One way to save activations, over the rounds.
struct Row {
  std::string name;
  config::Resolved resolved;
  std::vector<double> predicted, measured;                    // seconds of a step
  std::vector<double> predicted_products, measured_products;  // how many products alone it takes
  std::vector<double>
      added;  // share of a step with all saved that it takes more, in turns with such steps; empty: no row `none`
  std::vector<double> measured_then;  // seconds, had the machine been as fast as it was at the calibration
  int64_t planned_bytes = 0, touched_bytes = 0, activation_bytes = 0, saved_bytes = 0;

  // How far off the prediction is, the machine's speed aside.
  std::vector<double> errors() const {
    std::vector<double> out;
    for (size_t i = 0; i < measured.size(); ++i) out.push_back(predicted_products[i] / measured_products[i] - 1);
    return out;
  }
};

std::vector<Row> rows_of(const config::Resolved& resolved, const std::string& budgets) {
  std::vector<Row> rows;
  std::istringstream in(budgets);
  for (std::string name; std::getline(in, name, ',');) {
    Row& row = rows.emplace_back(Row{.name = name, .resolved = resolved});
    config::ActivationCheckpoint& keys = row.resolved.config.activation_checkpoint;
    const bool is_budget = config::parse_budget(name).has_value();
    keys = {};
    keys.mode = is_budget ? "budget" : name;
    if (is_budget) keys.budget = name;
    if (is_budget || (name != "budget" && passes::checkpointing_from_name(name))) continue;
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--budgets {}`: `{}` is no way to save activations", budgets, name),
                 .key = "--budgets",
                 .found = name,
                 .expected = "none, block, selective, or a budget such as 3GiB or 60%, with commas between them"});
  }
  return rows;
}

// `none`: the configuration with all activations saved, whose steps take turns with the row's; null: none do.
void run_steps(Row& row, const config::Resolved* none, comm::Communicator& comm, const train::Calibration& calibration,
               train::ProductAlone& product) {
  train::BenchStep bench(row.resolved, comm, {.warmup = 1, .costs = &calibration.table});
  const train::Programs& programs = bench.session().programs();
  train::Laps laps(bench, product);
  std::optional<train::BenchStep> bench_none;
  if (none != nullptr) bench_none.emplace(*none, comm, train::BenchStepOptions{.warmup = 1});
  std::optional<train::Laps> laps_none;
  if (bench_none) laps_none.emplace(*bench_none, product);
  double before = laps_none ? laps_none->run().step : 0;  // of a step with all saved, in front of the lap
  std::vector<double> steps, ratios, added;
  for (double sum = 0; sum < seconds_of_steps || steps.size() < 3;) {
    const train::Lap lap = laps.run();
    steps.push_back(lap.step);
    ratios.push_back(lap.ratio());
    sum += static_cast<double>(lap.steps) * lap.step;
    if (!laps_none) continue;
    const double behind = laps_none->run().step;
    added.push_back(lap.step / (0.5 * (before + behind)) - 1);
    before = behind;
  }
  if (!added.empty()) row.added.push_back(median(added));
  row.predicted.push_back(train::step_seconds(programs, calibration.table));
  row.predicted_products.push_back(row.predicted.back() / calibration.product_seconds);
  row.measured.push_back(median(steps));
  row.measured_products.push_back(median(ratios));
  row.measured_then.push_back(row.measured_products.back() * calibration.product_seconds);
  row.planned_bytes = bench.session().planned_peak_bytes();
  row.touched_bytes = bench.session().measured_peak_bytes();
  const train::RecomputeReport report = recompute_report(programs, row.resolved.config, calibration.table);
  row.activation_bytes = report.activation_bytes;
  row.saved_bytes = report.saved_bytes;
}

json to_json(const Row& row) {
  return {{"name", row.name},
          {"unit", "s"},
          {"predicted_step_seconds", row.predicted},
          {"step_seconds", row.measured},
          {"predicted_products", row.predicted_products},
          {"measured_products", row.measured_products},
          {"errors", row.errors()},
          {"added", row.added},
          {"peak_bytes_planned", row.planned_bytes},
          {"peak_bytes_measured", row.touched_bytes},
          {"activation_bytes", row.activation_bytes},
          {"saved_bytes", row.saved_bytes}};
}

std::string to_text(const std::vector<Row>& rows) {
  const bool in_turns = std::ranges::any_of(rows, [](const Row& row) { return !row.added.empty(); });
  std::string out = fmt::format("                activations    arena   predicted    measured     error{}\n",
                                in_turns ? "   over none" : "");
  for (const Row& row : rows) {
    const std::vector<double> errors = row.errors();
    out += fmt::format("{:<16}{:>11}{:>9}{:>12}{:>12}{:>+8.1f} %", row.name, train::bytes_text(row.activation_bytes),
                       train::bytes_text(row.planned_bytes), train::short_seconds(median(row.predicted)),
                       train::short_seconds(median(row.measured_then)), 100 * median(errors));
    if (!row.added.empty())
      out += fmt::format("{:>+9.1f} %", 100 * median(row.added));
    else if (in_turns && errors.size() > 1)
      out += std::string(11, ' ');
    if (errors.size() > 1)
      out += fmt::format("   ({:+.1f} to {:+.1f})", 100 * std::ranges::min(errors), 100 * std::ranges::max(errors));
    if (row.planned_bytes != row.touched_bytes)
      out += fmt::format("   touched {} bytes, planned {}", row.touched_bytes, row.planned_bytes);
    out += "\n";
  }
  return out +
         "\nover none: steps in turns with steps that save all; measured: had the machine been as fast as it was at "
         "the calibration, by a matrix product that ran beside "
         "both\n";
}

// Before anything is measured: budgets of the usual list that cannot be kept are left out, of a list that was given they are refused.
void leave_out_what_cannot_be_kept(std::vector<Row>& rows, int threads, bool were_given) {
  std::erase_if(rows, [&](const Row& row) {
    try {
      train::compile(row.resolved.config, {.train = true, .threads = threads});
      return false;
    } catch (const Error& e) {
      if (were_given || e.info().kind != ErrorKind::memory) {
        ErrorInfo info = e.info();
        if (info.kind == ErrorKind::memory) info.cure = fmt::format("leave {} out of --budgets", row.name);
        throw Error(info);
      }
      note(fmt::format("{} cannot be kept: {}", row.name, e.info().expected));
      return true;
    }
  });
}

}  // namespace

int bench_plan(const Arguments& arguments) {
  const int64_t rounds = arguments.integer("--pairs", {1, 1000}).value_or(1);
  const config::Resolved resolved = arguments.load_config();
  std::vector<Row> rows = rows_of(resolved, arguments.value("--budgets").value_or(usual_budgets));
  const int threads = train::threads_per_rank(resolved.config.launch.threads_per_rank, 1);
  leave_out_what_cannot_be_kept(rows, threads, arguments.value("--budgets").has_value());
  const auto comm = comm::make_single();
  train::ProductAlone product(*dtype_from_name(resolved.config.precision.compute), threads);
  for (int64_t round = 0; round < rounds; ++round) {
    note(fmt::format("round {} of {}: calibrating, then {} ways to save activations", round + 1, rounds, rows.size()));
    const train::Calibration calibration = train::calibrate(resolved, {.threads = threads});
    const auto none = std::ranges::find(rows, "none", &Row::name);
    for (Row& row : rows)
      run_steps(row, none == rows.end() || row.name == "none" ? nullptr : &none->resolved, *comm, calibration, product);
  }
  if (!arguments.has("--json")) {
    print(to_text(rows));
    return 0;
  }
  json out{{"schema", "ringmaster.bench/1"},  {"cpu", train::cpu_name()},    {"isa", train::isa()},
           {"cores", train::allowed_cores()}, {"threads_per_rank", threads}, {"rows", json::array()}};
  for (const Row& row : rows) out["rows"].push_back(to_json(row));
  print_json(out);
  return 0;
}

}  // namespace ringmaster::launcher
