// SPDX-License-Identifier: Apache-2.0
#include "train/summary.h"

#include "core/sha256.h"

#include <algorithm>

namespace ringmaster::train {
namespace {

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json column(const std::vector<std::optional<RankNumbers>>& ranks, int64_t RankNumbers::*field) {
  Json out = Json::array();
  for (const auto& rank : ranks) out.push_back(rank ? Json(*rank.*field) : Json(nullptr));
  return out;
}

// null where the program does not count: built with sanitizers, or with a main() of another project
Json allocations(const std::vector<std::optional<RankNumbers>>& ranks) {
  for (const auto& rank : ranks)
    if (rank && rank->allocations_after_step_2 < 0) return nullptr;
  return column(ranks, &RankNumbers::allocations_after_step_2);
}

}  // namespace

std::string build_hash() {
  try {
    Sha256 sha;
    const std::string program = read_file("/proc/self/exe", {.max_bytes = int64_t{1} << 30});
    return sha.update(program).hex();
  } catch (const Error&) { return ""; }
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

Json summary_json(const End& end, const Facts& facts, const Progress& p,
                  const std::vector<std::optional<RankNumbers>>& ranks) {
  const double step_seconds = median(p.step_seconds);
  Json j;
  j["status"] = end.status;
  j["exit_code"] = end.exit_code;
  j["steps"] = p.state.step;
  j["loss"] = or_null(p.loss);
  j["validation_loss"] = or_null(p.validation_loss);
  j["best_validation_loss"] = or_null(p.state.best_validation_loss);
  j["best_step"] = p.state.best_validation_loss ? Json(p.state.best_step) : Json(nullptr);
  j["params_hash"] = or_null(p.params_hash);
  j["state_hash"] = or_null(p.state_hash);
  j["ranks"] = facts.ranks;
  j["threads_per_rank"] = facts.threads;
  j["grains_per_rank"] = column(ranks, &RankNumbers::grains);
  j["numerics"] = facts.numerics;
  j["wire"] = facts.wire;
  j["parameters"] = facts.parameters;
  j["tokens_per_second_median"] =
      step_seconds > 0 ? Json(static_cast<double>(p.tokens_per_step) / step_seconds) : Json(nullptr);
  j["step_seconds_median"] = step_seconds > 0 ? Json(step_seconds) : Json(nullptr);
  j["predicted_step_seconds"] = facts.predicted_step_seconds;
  j["calibrated"] = facts.calibrated;
  j["first_step_seconds"] = p.step_seconds.empty() ? Json(nullptr) : Json(p.step_seconds.front());
  j["wall_seconds"] = p.wall_seconds;
  j["peak_bytes_planned"] = column(ranks, &RankNumbers::peak_bytes_planned);
  j["peak_bytes_measured"] = column(ranks, &RankNumbers::peak_bytes_measured);
  j["process_bytes_planned"] = column(ranks, &RankNumbers::process_bytes_planned);
  j["process_peak_bytes"] = column(ranks, &RankNumbers::process_peak_bytes);
  j["process_pss_bytes"] = column(ranks, &RankNumbers::process_pss_bytes);
  j["wire_bytes_sent_planned"] = column(ranks, &RankNumbers::wire_bytes_sent_planned);
  j["wire_bytes_sent_measured"] = column(ranks, &RankNumbers::wire_bytes_sent_measured);
  j["messages_sent"] = column(ranks, &RankNumbers::messages_sent);
  j["node_bytes_read_planned"] = column(ranks, &RankNumbers::node_bytes_read_planned);
  j["node_bytes_read_measured"] = column(ranks, &RankNumbers::node_bytes_read_measured);
  j["gemm_flops"] = column(ranks, &RankNumbers::gemm_flops);
  j["allocations_after_step_2"] = allocations(ranks);
  j["page_faults_after_step_2"] = column(ranks, &RankNumbers::page_faults_after_step_2);
  j["restarts"] = 0;
  j["redone_steps"] = p.redone_steps;
  j["skipped_steps"] = p.skipped_steps;
  j["compute"] = facts.compute;
  j["cpu"] = or_null(facts.cpu);
  j["isa"] = or_null(facts.isa);
  j["version"] = facts.version;
  j["build_hash"] = or_null(facts.build_hash);
  j["config_hash"] = facts.config_hash;
  j["data_hash"] = facts.data_hash;
  j["plan_hash"] = facts.plan_hash;
  return j;
}

Json to_json(const Failure& f) {
  Json waiting = Json::array();
  if (f.waiting) waiting.push_back({{"rank", f.waiting->rank}, {"for", f.waiting->peer}, {"seq", f.waiting->sequence}});
  return {{"rank", f.rank},
          {"host", f.host},
          {"step", f.step},
          {"phase", f.phase},
          {"instruction", or_null(f.instruction)},
          {"scope", or_null(f.scope)},
          {"cause", f.cause},
          {"waiting", std::move(waiting)},
          {"cure", or_null(f.cure)}};
}

std::string to_text(const Failure& f) {
  std::string out = fmt::format("training stopped at step {} ({}): rank {} of {} on {}: {}\n", f.step, f.phase, f.rank,
                                f.ranks, f.host, f.cause);
  if (!f.instruction.empty()) out += fmt::format("  it was in     {} ({})\n", f.scope, f.instruction);
  if (f.waiting)
    out += fmt::format("  it waited     in {} for rank {} since {:.1f} s\n", f.waiting->what, f.waiting->peer,
                       f.waiting->seconds);
  out += fmt::format("  saved         {}\n", f.saved.empty() ? "nothing yet" : f.saved);
  if (!f.cure.empty()) out += fmt::format("  cure          {}\n", f.cure);
  return out;
}

}  // namespace ringmaster::train
