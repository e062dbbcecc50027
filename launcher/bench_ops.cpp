// SPDX-License-Identifier: Apache-2.0
// bench ops: what this machine reaches, with all threads and with one, and how near instructions come to it alone.
#include "train/bench_ops.h"

#include "backend/cpu/peak.h"
#include "config/value.h"
#include "core/program.h"
#include "launcher/bench_report.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/output.h"
#include "train/machine.h"
#include "train/summary.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <regex>

namespace ringmaster::launcher {
namespace {

using nlohmann::json;

struct MachineRow {
  std::string name;  // "gemm f32", "triad, one thread"
  std::string unit;  // "FLOP/s", "bytes/s"
  double value = 0;
};

std::vector<MachineRow> measure_machine(int threads) {
  std::vector<MachineRow> rows;
  for (const int n : threads > 1 ? std::vector{threads, 1} : std::vector{1}) {
    const std::string suffix = n < threads ? ", one thread" : "";
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const backend::GemmPeak peak = backend::gemm_peak(dtype, n);
      rows.push_back({fmt::format("gemm {}{}", name(dtype), suffix), "FLOP/s", peak.flops_per_second});
      note(fmt::format("{}: {:.0f} GFLOP/s at {} x {} x {}, {}", rows.back().name, rows.back().value / 1e9, peak.m,
                       peak.k, peak.n, peak.way));
    }
    rows.push_back({"triad" + suffix, "bytes/s", backend::triad_bytes_per_second(n)});
  }
  return rows;
}

json as_json(const MachineRow& row) {
  return {{"name", row.name},
          {"bytes", nullptr},
          {"unit", row.unit},
          {"values", json::array({row.value})},
          {"median", row.value},
          {"min", row.value},
          {"max", row.value},
          {"gemm_roofline_ratio", nullptr},
          {"bytes_sent_per_rank", nullptr},
          {"messages_per_rank", nullptr},
          {"memory_bound_share", nullptr},
          {"vs", json::array()}};
}

train::Wanted wanted_by(const std::optional<std::string>& filter) {
  if (!filter) return [](const train::InstructionRow&) { return true; };
  if (filter->size() > config::longest_regex) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--filter` is {} bytes long", filter->size()),
                 .key = "--filter",
                 .found = filter->substr(0, 40) + "...",
                 .expected = fmt::format("at most {} bytes", config::longest_regex),
                 .cure = "name a part of what is wanted"});
  }
  try {
    return [pattern = std::regex(*filter, std::regex::extended)](const train::InstructionRow& row) {
      return std::regex_search(fmt::format("{} {} {}", row.op, row.scope, row.detail), pattern);
    };
  } catch (const std::regex_error& error) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--filter {}` is no regular expression: {}", *filter, error.what()),
                 .key = "--filter",
                 .found = *filter,
                 .expected = "a POSIX extended regular expression, such as 'matmul.*mlp'",
                 .cure = "put a backslash before a character that is meant as it is"});
  }
}

void check(const Arguments& arguments) {
  if (!arguments.target().empty() || arguments.values("--set").empty()) return;
  throw Error({.kind = ErrorKind::usage,
               .message = "`--set` changes a configuration, and none is given",
               .key = "--set",
               .found = arguments.values("--set").front(),
               .expected = usage(arguments.command()),
               .cure = "name a CONFIG, or leave --set out"});
}

// The table has no room for it.
void add_gemm_seconds(std::vector<train::InstructionRow>& rows, int threads) {
  train::BestGemm best(threads);
  for (train::InstructionRow& row : rows)
    row.gemm_seconds =
        train::roofline_seconds(train::step_gemms({row}), [&](const ir::Gemm& g) { return best.seconds(g); });
}

}  // namespace

int bench_ops(const Arguments& arguments) {
  check(arguments);
  const train::Wanted wanted = wanted_by(arguments.value("--filter"));
  const bool has_config = !arguments.target().empty();
  std::optional<config::Resolved> resolved;
  if (has_config) {
    resolved = arguments.load_config();
    train::check_recipe(*resolved);
  }
  const int threads = train::threads_per_rank(has_config ? resolved->config.launch.threads_per_rank : 0, 1);
  const std::vector<MachineRow> machine_rows = measure_machine(threads);
  const BenchMachine machine{
      .ranks = 1,
      .threads = threads,
      .peaks = {.f32 = machine_rows[0].value, .bf16 = machine_rows[1].value, .triad = machine_rows[2].value}};
  std::vector<train::InstructionRow> rows;
  if (has_config) {
    const auto comm = comm::make_single();
    train::BenchStep bench(*resolved, *comm, {.warmup = 1});
    rows = train::time_alone(bench, wanted);
  } else {
    rows = train::time_samples(threads, wanted);
  }
  if (const auto filter = arguments.value("--filter"); filter && rows.empty() && *filter != "^$") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--filter {}` matches no instruction", *filter),
                 .key = "--filter",
                 .found = *filter,
                 .expected = "a part of `op scope types` of an instruction, or '^$' for the machine alone",
                 .cure = fmt::format("`{} ops` lists the ops", program_name())});
  }
  if (arguments.has("--json")) {
    if (has_config) add_gemm_seconds(rows, threads);
    json out = machine_json(machine);
    out["pairs"] = 1;
    out["rows"] = json::array();
    for (const MachineRow& row : machine_rows) out["rows"].push_back(as_json(row));
    out["instructions"] = instructions_json(rows, machine.peaks);
    print_json(out);
    return 0;
  }
  std::string text = machine_text(machine);
  if (machine_rows.size() > 3)
    text += fmt::format("one thread: {:.0f} in f32, {:.0f} in bf16; triad {:.1f} GB/s\n", machine_rows[3].value / 1e9,
                        machine_rows[4].value / 1e9, machine_rows[5].value / 1e9);
  if (!rows.empty()) text += "\n" + instructions_text(rows, machine.peaks, rows.size());
  print(text);
  return 0;
}

}  // namespace ringmaster::launcher
