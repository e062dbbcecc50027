// SPDX-License-Identifier: Apache-2.0
#include "train/recompute_report.h"

#include "passes/budget.h"
#include "passes/forward.h"
#include "passes/work.h"
#include "train/terminal.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace ringmaster::train {
namespace {

// What runs again, and what is not saved, by block.
std::vector<RecomputeReport::Item> items_of(const Compiled& program, const cost::Table& costs, int64_t runs) {
  std::map<std::string, double> again;
  std::vector<std::string> order;
  for (const ir::Region& region : program.graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = program.graph.node(id);
      const std::string place = passes::place_of(node.scope);
      if (std::ranges::find(order, place) == order.end()) order.push_back(place);
      if (node.again) again[place] += static_cast<double>(runs) * passes::seconds_of(program.graph, node, costs);
    }
  }
  std::vector<RecomputeReport::Item> items;
  for (const std::string& place : order) {
    const auto bytes = program.recomputed.not_saved.find(place);
    const bool is_saved = bytes == program.recomputed.not_saved.end();
    if (is_saved && !again.contains(place)) continue;
    items.push_back({place, is_saved ? 0 : bytes->second, again[place]});
  }
  return items;
}

template <typename T> nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// "transformer.h.0" and "transformer.h.1", where they save and cost the same.
bool alike(const RecomputeReport::Item& a, const RecomputeReport::Item& b) {
  const auto stem = [](const std::string& scope) { return scope.substr(0, scope.find_last_not_of("0123456789") + 1); };
  return stem(a.scope) == stem(b.scope) && a.bytes_saved == b.bytes_saved &&
         std::abs(a.seconds_added - b.seconds_added) <= 1e-9 + 1e-6 * a.seconds_added;
}

}  // namespace

std::optional<double> RecomputeReport::gap() const {
  if (!lower_bound_seconds) return std::nullopt;
  return std::max(0.0, extra_seconds - *lower_bound_seconds) / (step_seconds + *lower_bound_seconds);
}

RecomputeReport recompute_report(const Programs& programs, const config::Config& config, const cost::Table& costs) {
  const Compiled* most = nullptr;
  int64_t repeats = 0;
  for (const models::Phase& phase : programs.recipe->phases) {
    const Compiled& program = *programs.find(phase.name);
    if (most != nullptr && program.recomputed.bytes_of_none <= most->recomputed.bytes_of_none) continue;
    most = &program;
    repeats = phase.repeats;
  }
  const int64_t runs = programs.deal.count * repeats;  // of the grain region, which alone holds what runs again
  const passes::Seconds seconds = passes::seconds_of(most->graph, costs, programs.deal.count, repeats);
  RecomputeReport out{.mode = config.activation_checkpoint.mode,
                      .activation_bytes = passes::activation_bytes(most->graph),
                      .bytes_of_none = most->recomputed.bytes_of_none,
                      .saved_bytes = passes::saved_bytes(most->graph),
                      .saved_bytes_of_none = most->recomputed.saved_bytes_of_none,
                      .step_seconds = seconds.once,
                      .extra_seconds = seconds.again,
                      .items = items_of(*most, costs, runs)};
  if (out.mode != "budget") return out;
  out.budget_bytes = most->recomputed.budget_bytes;
  out.minimum_budget_bytes = most->recomputed.minimum_bytes;
  if (const auto bound = most->recomputed.lower_bound_seconds)
    out.lower_bound_seconds = static_cast<double>(runs) * *bound;
  return out;
}

nlohmann::json to_json(const RecomputeReport& r) {
  nlohmann::json items = nlohmann::json::array();
  for (const auto& item : r.items)
    items.push_back({{"scope", item.scope}, {"bytes_saved", item.bytes_saved}, {"seconds_added", item.seconds_added}});
  return {{"mode", r.mode},
          {"budget_bytes", or_null(r.budget_bytes)},
          {"minimum_budget_bytes", or_null(r.minimum_budget_bytes)},
          {"activation_bytes", r.activation_bytes},
          {"activation_bytes_of_none", r.bytes_of_none},
          {"saved_bytes", r.saved_bytes},
          {"saved_bytes_of_none", r.saved_bytes_of_none},
          {"extra_seconds", r.extra_seconds},
          {"lower_bound_seconds", or_null(r.lower_bound_seconds)},
          {"gap", or_null(r.gap())},
          {"items", items}};
}

std::string short_seconds(double seconds) {
  return seconds >= 1 ? fmt::format("{:.2f} s", seconds) : fmt::format("{:.1f} ms", seconds * 1e3);
}

std::string to_text(const RecomputeReport& r) {
  if (r.mode == "none") return "";
  std::string out =
      fmt::format("recompute      {}{}: activations {} in place of {}, {} of {} saved for backward\n", r.mode,
                  r.budget_bytes ? " " + bytes_text(*r.budget_bytes) : "", bytes_text(r.activation_bytes),
                  bytes_text(r.bytes_of_none), bytes_text(r.saved_bytes), bytes_text(r.saved_bytes_of_none));
  out += fmt::format("               {} a step more, {:.1f} %\n", short_seconds(r.extra_seconds),
                     100 * r.extra_seconds / r.step_seconds);
  if (r.minimum_budget_bytes)
    out += fmt::format("               the least budget is {}", bytes_text(*r.minimum_budget_bytes));
  if (const auto gap = r.gap())
    out += fmt::format("; no schedule of its kind is faster by more than {:.2f} % of a step", 100 * *gap);
  if (r.minimum_budget_bytes) out += "\n";
  for (size_t i = 0; i < r.items.size();) {  // blocks that are alike in one row
    size_t end = i + 1;
    while (end < r.items.size() && alike(r.items[i], r.items[end])) ++end;
    const auto count = static_cast<int64_t>(end - i);
    const auto& item = r.items[i];
    out += fmt::format("  {:>12}  {:>9} more  {}\n", bytes_text(count * item.bytes_saved),
                       short_seconds(static_cast<double>(count) * item.seconds_added),
                       count == 1 ? item.scope : fmt::format("{} to {}", item.scope, r.items[end - 1].scope));
    i = end;
  }
  return out;
}

}  // namespace ringmaster::train
