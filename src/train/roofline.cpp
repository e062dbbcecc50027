// SPDX-License-Identifier: Apache-2.0
#include "train/roofline.h"

#include "backend/cpu/peak.h"
#include "core/error.h"

#include <algorithm>
#include <cctype>

namespace ringmaster::train {
namespace {

// "h.3.mlp" and "h.11.mlp" are "h.*.mlp".
std::string without_numbers(const std::string& scope) {
  std::string out;
  for (size_t begin = 0; begin <= scope.size();) {
    const size_t end = std::min(scope.find('.', begin), scope.size());
    const std::string part = scope.substr(begin, end - begin);
    const bool number =
        !part.empty() && std::ranges::all_of(part, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (begin > 0) out += '.';
    out += number ? "*" : part;
    begin = end + 1;
  }
  return out;
}

double gemm_flops(const std::vector<ir::Gemm>& gemms) {
  double total = 0;
  for (const ir::Gemm& gemm : gemms) total += static_cast<double>(gemm.flops());
  return total;
}

double peak_seconds(const InstructionRow& row, const Peaks& peaks) {
  return row.gemms.empty() ? 0 : static_cast<double>(row.flops) / peaks.gemm(row.gemms.front().dtype);
}

backend::MatmulSpec spec_of(const ir::Gemm& g) {
  return {.batch = g.batch,
          .m = g.m,
          .n = g.n,
          .k = g.k,
          .transpose_a = g.transpose_a,
          .transpose_b = g.transpose_b,
          .dtype = g.dtype};
}

}  // namespace

void rank_by_time(std::vector<InstructionRow>& rows) {
  double total = 0;
  for (const InstructionRow& row : rows) total += row.seconds;
  for (InstructionRow& row : rows) row.share = total > 0 ? row.seconds / total : 0;
  std::ranges::stable_sort(rows,
                           [](const InstructionRow& a, const InstructionRow& b) { return a.seconds > b.seconds; });
}

std::vector<InstructionRow> fold(const std::vector<InstructionRow>& rows) {
  std::vector<InstructionRow> out;
  std::map<std::pair<std::string, std::string>, size_t> places;
  for (const InstructionRow& row : rows) {
    const std::string scope = without_numbers(row.scope);
    const auto [place, is_new] = places.try_emplace({row.key, scope}, out.size());
    if (is_new) {
      out.push_back(row);
      continue;
    }
    InstructionRow& sum = out[place->second];
    if (sum.scope != row.scope) sum.scope = scope;
    sum.runs += row.runs;
    sum.seconds += row.seconds;
    sum.flops += row.flops;
    sum.bytes += row.bytes;
  }
  rank_by_time(out);
  return out;
}

Peaks measure_peaks(int threads) {
  return {.f32 = backend::gemm_peak(DType::f32, threads).flops_per_second,
          .bf16 = backend::gemm_peak(DType::bf16, threads).flops_per_second,
          .triad = backend::triad_bytes_per_second(threads)};
}

double of_gemm_peak(const InstructionRow& row, const Peaks& peaks) {
  return row.seconds > 0 ? peak_seconds(row, peaks) / row.seconds : 0;
}

double of_triad(const InstructionRow& row, const Peaks& peaks) {
  return row.seconds > 0 ? static_cast<double>(row.bytes) / peaks.triad / row.seconds : 0;
}

double memory_bound_share(const std::vector<InstructionRow>& rows, const Peaks& peaks) {
  double bound = 0, total = 0;
  for (const InstructionRow& row : rows) {
    total += row.seconds;
    if (static_cast<double>(row.bytes) / peaks.triad > peak_seconds(row, peaks)) bound += row.seconds;
  }
  return total > 0 ? bound / total : 0;
}

std::map<ir::Gemm, double> step_gemms(const std::vector<InstructionRow>& rows) {
  std::map<ir::Gemm, double> gemms;
  for (const InstructionRow& row : rows) {
    const double all = gemm_flops(row.gemms);
    if (all == 0) continue;
    for (const ir::Gemm& gemm : row.gemms)
      if (gemm.flops() > 0) gemms[gemm] += static_cast<double>(row.flops) / all;
  }
  return gemms;
}

double roofline_seconds(const std::map<ir::Gemm, double>& gemms, const std::function<double(const ir::Gemm&)>& best) {
  double total = 0;
  for (const auto& [gemm, runs] : gemms) total += runs * best(gemm);
  return total;
}

double BestGemm::seconds(const ir::Gemm& gemm) {
  backend::GemmAlone alone(spec_of(gemm), threads_);
  if (const auto known = way_.find(gemm); known != way_.end()) {
    const size_t way = known->second;
    return backend::best_seconds([&] { alone.run(way); });
  }
  const backend::GemmAlone::Best best = alone.best();
  way_[gemm] = best.way;
  return best.seconds;
}

}  // namespace ringmaster::train
