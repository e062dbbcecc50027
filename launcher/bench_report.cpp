// SPDX-License-Identifier: Apache-2.0
#include "launcher/bench_report.h"

#include "train/machine.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ringmaster::launcher {

using nlohmann::json;
using train::InstructionRow;
using train::Peaks;

json machine_json(const BenchMachine& machine) {
  return {{"schema", "ringmaster.bench/1"},
          {"cpu", train::cpu_name()},
          {"isa", train::isa()},
          {"cores", train::allowed_cores()},
          {"ranks", machine.ranks},
          {"threads_per_rank", machine.threads},
          {"gemm_peak", {{"f32", machine.peaks.f32}, {"bf16", machine.peaks.bf16}}},
          {"triad_bytes_per_second", machine.peaks.triad}};
}

json instructions_json(const std::vector<InstructionRow>& rows, const Peaks& peaks) {
  json out = json::array();
  for (const InstructionRow& row : rows) {
    out.push_back({{"op", row.op},
                   {"scope", row.scope},
                   {"detail", row.detail},
                   {"runs", row.runs},
                   {"seconds", row.seconds},
                   {"flops", row.flops},
                   {"bytes", row.bytes},
                   {"share", row.share},
                   {"gemm_peak_share", row.gemms.empty() ? json() : json(train::of_gemm_peak(row, peaks))},
                   {"gemm_seconds", row.gemm_seconds > 0 ? json(row.gemm_seconds) : json()},
                   {"triad_share", train::of_triad(row, peaks)}});
  }
  return out;
}

std::string machine_text(const BenchMachine& machine) {
  return fmt::format(
      "{} rank{} x {} thread{}, {}, {}\nGEMM peak {:.0f} GFLOP/s in f32, {:.0f} in bf16; triad {:.1f} GB/s\n",
      machine.ranks, machine.ranks == 1 ? "" : "s", machine.threads, machine.threads == 1 ? "" : "s", train::isa(),
      train::cpu_name(), machine.peaks.f32 / 1e9, machine.peaks.bf16 / 1e9, machine.peaks.triad / 1e9);
}

std::string instructions_text(const std::vector<InstructionRow>& rows, const Peaks& peaks, size_t shown) {
  std::string out = "       ms   share   runs   GFLOP/s  of peak      GB/s  of triad\n";
  double rest_seconds = 0, rest_share = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const InstructionRow& row = rows[i];
    if (i >= shown) {
      rest_seconds += row.seconds;
      rest_share += row.share;
      continue;
    }
    const double seconds = std::max(row.seconds, 1e-12);
    const std::string products =
        row.gemms.empty() ? fmt::format("{:19}", "")
                          : fmt::format("{:9.1f}  {:5.0f} %  ", static_cast<double>(row.flops) / seconds / 1e9,
                                        train::of_gemm_peak(row, peaks) * 100);
    out += fmt::format("{:9.3f}  {:4.1f} %  {:5} {}{:8.1f}  {:6.0f} %  {} {}  {}\n", row.seconds * 1e3, row.share * 100,
                       row.runs, products, static_cast<double>(row.bytes) / seconds / 1e9,
                       train::of_triad(row, peaks) * 100, row.op, row.scope, row.detail);
  }
  if (rows.size() > shown)
    out += fmt::format("{:9.3f}  {:4.1f} %  the other {}\n", rest_seconds * 1e3, rest_share * 100, rows.size() - shown);
  return out;
}

}  // namespace ringmaster::launcher
