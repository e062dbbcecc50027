// SPDX-License-Identifier: Apache-2.0
// bench_report: what bench step and bench ops say alike: the machine, and a table of instructions against it.
#pragma once
#include "train/roofline.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace ringmaster::launcher {

struct BenchMachine {
  int ranks = 1, threads = 1;
  train::Peaks peaks;  // of one rank's threads, while every rank measures
};

// schema ringmaster.bench/1 without its rows and instructions
nlohmann::json machine_json(const BenchMachine& machine);
// one entry a row: op, scope, detail, runs, seconds, flops, bytes, share, gemm_peak_share, triad_share, gemm_seconds (its products
// alone, the fastest way; null but in `bench ops CONFIG`)
nlohmann::json instructions_json(const std::vector<train::InstructionRow>& rows, const train::Peaks& peaks);

std::string machine_text(const BenchMachine& machine);  // two lines
// Folded rows; those behind the first `shown` are summed up in a last line.
std::string instructions_text(const std::vector<train::InstructionRow>& rows, const train::Peaks& peaks, size_t shown);

}  // namespace ringmaster::launcher
