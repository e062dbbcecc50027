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

// A block's place without its number: "transformer.h." and 3 of "transformer.h.3"; the number is -1 where there is none.
std::pair<std::string, int64_t> stem_of(const std::string& scope) {
  const size_t digits = scope.find_last_not_of("0123456789") + 1;
  if (digits == scope.size()) return {scope, -1};
  return {scope.substr(0, digits), std::stoll(scope.substr(digits))};
}

// Blocks that are alike in all that is said of them.
struct Group {
  std::string stem;
  std::vector<int64_t> numbers;  // ascending
  RecomputeReport::Item one;
};

std::vector<Group> groups_of(const std::vector<RecomputeReport::Item>& items) {
  std::vector<Group> groups;
  for (const auto& item : items) {
    const auto [stem, number] = stem_of(item.scope);
    const auto like = std::ranges::find_if(groups, [&, &stem = stem](const Group& g) {
      return g.stem == stem && g.one.bytes_saved == item.bytes_saved &&
             std::abs(g.one.seconds_added - item.seconds_added) <= 1e-9 + 1e-6 * item.seconds_added;
    });
    Group& group = like != groups.end() ? *like : groups.emplace_back(Group{stem, {}, item});
    if (number >= 0) group.numbers.push_back(number);
  }
  return groups;
}

// "0-3, 5"
std::string ranges_text(const std::vector<int64_t>& numbers) {
  std::string out;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    out += fmt::format("{}{}", out.empty() ? "" : ", ", numbers[i]);
    if (end - i > 1) out += fmt::format("{}{}", end - i > 2 ? "-" : ", ", numbers[end - 1]);
    i = end;
  }
  return out;
}

}  // namespace

std::optional<double> RecomputeReport::gap() const {
  if (!lower_bound_seconds) return std::nullopt;
  return std::max(0.0, extra_seconds - *lower_bound_seconds) / (step_seconds + *lower_bound_seconds);
}

RecomputeReport recompute_report(const Programs& programs, const config::Config& config, const cost::Table& costs) {
  RecomputeReport out{.mode = config.activation_checkpoint.mode, .lower_bound_seconds = 0};
  const Compiled* most = nullptr;
  for (const models::Phase& phase : programs.recipe->phases) {
    const Compiled& program = *programs.find(phase.name);
    const int64_t runs = programs.deal.count * phase.repeats;  // of the grain region, which alone holds what runs again
    const passes::Seconds seconds = passes::seconds_of(program.graph, costs, programs.deal.count, phase.repeats);
    out.step_seconds += seconds.once;
    out.extra_seconds += seconds.again;
    for (RecomputeReport::Item& item : items_of(program, costs, runs)) out.items.push_back(std::move(item));
    const auto bound = program.recomputed.lower_bound_seconds;
    if (bound && out.lower_bound_seconds)
      *out.lower_bound_seconds += static_cast<double>(runs) * *bound;
    else
      out.lower_bound_seconds.reset();
    if (most == nullptr || program.recomputed.bytes_of_none > most->recomputed.bytes_of_none) most = &program;
  }
  out.activation_bytes = passes::activation_bytes(most->graph);
  out.bytes_of_none = most->recomputed.bytes_of_none;
  out.saved_bytes = passes::saved_bytes(most->graph);
  out.saved_bytes_of_none = most->recomputed.saved_bytes_of_none;
  if (out.mode != "budget") {
    out.lower_bound_seconds.reset();
    return out;
  }
  out.budget_bytes = most->recomputed.budget_bytes;
  out.minimum_budget_bytes = most->recomputed.minimum_bytes;
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
                     r.step_seconds > 0 ? 100 * r.extra_seconds / r.step_seconds : 0);
  if (r.minimum_budget_bytes)
    out += fmt::format("               the least budget is {}", bytes_text(*r.minimum_budget_bytes));
  if (const auto gap = r.gap())
    out += fmt::format("; no schedule of its kind is faster by more than {:.2f} % of a step", 100 * *gap);
  if (r.minimum_budget_bytes) out += "\n";
  const std::vector<Group> groups = groups_of(r.items);
  if (!groups.empty()) out += fmt::format("  {:>12}  {:>12}\n", "not saved", "more time");
  for (const Group& group : groups) {
    if (group.one.bytes_saved == 0 && group.one.seconds_added < 5e-5) continue;
    const int64_t count = std::max<int64_t>(1, std::ssize(group.numbers));
    out += fmt::format("  {:>12}  {:>12}  {}{}\n", bytes_text(count * group.one.bytes_saved),
                       short_seconds(static_cast<double>(count) * group.one.seconds_added),
                       group.stem.empty() && group.numbers.empty() ? "(no block)" : group.stem,
                       ranges_text(group.numbers));
  }
  return out;
}

}  // namespace ringmaster::train
