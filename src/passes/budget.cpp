// SPDX-License-Identifier: Apache-2.0
#include "passes/budget.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ir/placement.h"
#include "passes/chain_model.h"
#include "passes/passes.h"
#include "passes/work.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;

Graph in_order_of_the_run(const Graph& graph) {
  Graph ordered = graph;
  schedule(ordered, {});
  return ordered;
}

}  // namespace

int64_t activation_bytes(const Graph& graph) {
  std::vector<ir::Buffer> buffers = lifetimes(in_order_of_the_run(graph));
  std::erase_if(buffers, [](const ir::Buffer& b) { return b.category != ir::Category::activations; });
  return ir::fullest(buffers).bytes;
}

Budget::Budget(const Graph& graph, int region, const cost::Table& costs)
    : graph_(graph),
      costs_(costs),
      ordered_(in_order_of_the_run(graph)),
      forward_(ordered_, region),
      segments_(cut(ordered_, forward_)) {
  bytes_of_none_ = activation_bytes(graph);
  has_backward_ = std::ranges::any_of(forward_.values(), [](const Saveable& s) { return !s.wants.empty(); });
  modes_.push_back({.tags = Tags(forward_.values().size()), .bytes = bytes_of_none_});
  if (!has_backward_) return;
  modes_.push_back(obeyed(tags_of_selection(graph_, forward_, segments_)));
  modes_.push_back(obeyed(tags_of_blocks(forward_, segments_)));
  models_ = chain_model(ordered_, forward_, segments_, costs_);
  build_links();
}

void Budget::build_links() {
  std::map<SegmentModel, Ways> known;
  int64_t below = 0, most = 0;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const SegmentModel& model = models_[s];
    auto found = known.find(model);
    if (found == known.end()) found = known.emplace(model, find_ways(model)).first;
    const Ways& ways = found->second;
    is_exact_ = is_exact_ && ways.exact;
    Link link{.forward_peak = forward_peak(model, std::vector<bool>(model.values.size()))};
    for (const auto& value : model.values)
      if (value.passes) link.passing += value.bytes;
    for (const int32_t i : segments_[s].passing)
      if (i < segments_[s].begin)
        link.passing += size_of_value(ordered_, forward_.values()[static_cast<size_t>(i)].value);
    for (size_t m = 0; m < model.makers.size(); ++m) {
      const auto first = std::ranges::find(model.values, static_cast<int32_t>(m), &SegmentModel::Value::maker);
      if (!first->behind_sum) link.forward += model.makers[m].seconds;  // else it ran in the segment before
    }
    for (const Way& way : ways.ways) link.ways.push_back(way.cost);
    for (const Way& way : ways.alone) link.alone.push_back(way.cost);
    const Saving& all = link.ways.front();  // least extra time first
    most = std::max({most, below + all.forward_peak, below + all.backward_peak});
    below += all.saved + link.passing;
    ways_.push_back(ways);
    links_.push_back(std::move(link));
  }
  unit_ = best_unit(most);
  units_ = (most + unit_ - 1) / unit_ + 2 * std::ssize(links_);  // rounding takes its share
  std::vector<Link> nearest, down;
  for (size_t s = 0; s < links_.size(); ++s) {
    nearest.push_back(scaled(links_[s], 0.5));
    down.push_back(scaled(floor_of(s), 0));
  }
  planner_ = std::make_unique<ChainPlanner>(std::move(nearest), units_);
  bound_ = std::make_unique<ChainPlanner>(std::move(down), units_);
  while (least_units_ < units_ && !planner_->extra(least_units_)) ++least_units_;
}

// The unit, a 512th to a 1,024th of `most`, that the sizes of the chain are nearest to being multiples of.
int64_t Budget::best_unit(int64_t most) const {
  std::map<int64_t, int64_t> sizes;  // and how often each occurs
  for (const Link& link : links_) {
    ++sizes[link.passing];
    for (const Saving& way : link.ways)
      for (const int64_t bytes : {way.saved, way.backward_peak}) ++sizes[bytes];
  }
  const auto error = [&](int64_t unit) {
    int64_t sum = 0;
    for (const auto& [bytes, times] : sizes) sum += times * std::min(bytes % unit, unit - bytes % unit);
    return sum;
  };
  const int64_t largest = std::max<int64_t>(1, most / 512), smallest = std::max<int64_t>(1, most / 1024);
  int64_t best = largest, least = error(largest);
  for (const auto& [bytes, times] : sizes) {
    for (int64_t parts = bytes / largest; parts > 0 && bytes / parts >= smallest; ++parts) {
      const int64_t unit = bytes / parts;
      if (unit > largest || error(unit) >= least) continue;
      best = unit;
      least = error(unit);
    }
  }
  return best;
}

int64_t Budget::to_units(int64_t bytes, double up) const {
  return static_cast<int64_t>(std::floor(static_cast<double>(bytes) / static_cast<double>(unit_) + up));
}

// The link with sizes that no placement undercuts: what one instruction reads may lend its memory to what it makes.
Link Budget::floor_of(size_t segment) const {
  Link out = links_[segment];
  out.passing = 0;
  for (const auto& value : models_[segment].values)
    if (value.passes) out.passing += value.bytes;
  out.forward_peak = out.passing;
  for (auto* list : {&out.ways, &out.alone}) {
    for (Saving& way : *list) {
      way.forward_peak = way.saved;
      way.backward_peak = way.backward_floor;
    }
  }
  return out;
}

Link Budget::scaled(const Link& link, double up) const {
  Link out = link;
  out.passing = to_units(link.passing, up);
  out.forward_peak = to_units(link.forward_peak, up);
  for (auto* list : {&out.ways, &out.alone}) {
    for (Saving& way : *list) {
      way.saved = to_units(way.saved, up);
      way.forward_peak = to_units(way.forward_peak, up);
      way.backward_peak = to_units(way.backward_peak, up);
    }
  }
  return out;
}

Tags Budget::tags_of(const ChainPlan& plan) const {
  Tags tags(forward_.values().size());
  for (size_t s = 0; s < segments_.size(); ++s) {
    const ChainPlan::Step& step = plan.steps[s];
    const SegmentModel& model = models_[s];
    const std::vector<bool>& saved = (step.alone ? ways_[s].alone : ways_[s].ways)[static_cast<size_t>(step.way)].saved;
    for (size_t k = 0; k < model.values.size(); ++k) {
      int& tag = tags[static_cast<size_t>(segments_[s].begin) + k];
      if (model.values[k].fixed) continue;
      if (model.values[k].passes)
        tag = step.passing;
      else
        tag = step.made + (step.alone || saved[k] ? 0 : 1);
    }
  }
  return tags;
}

const Budget::Found& Budget::obeyed(const Tags& tags) {
  const auto [known, is_new] = of_tags_.try_emplace(tags);
  if (!is_new) return known->second;  // budgets that are near to each other lead to the same plan
  Graph obeys = graph_;
  set_tags(obeys, forward_, tags);
  recompute(obeys, {});
  return known->second = {.tags = tags, .bytes = activation_bytes(obeys), .extra = seconds_of(obeys, costs_, 1).again};
}

const Budget::Found& Budget::at(int64_t units) {
  const auto known = found_.find(units);
  if (known != found_.end()) return *known->second;
  const auto plan = planner_->plan(units);
  CHECK(plan.has_value(), "no schedule within {} units", units);
  return *found_.emplace(units, &obeyed(tags_of(*plan))).first->second;
}

// What is found for a budget does not depend on what was asked before.
std::optional<Budget::Found> Budget::within(int64_t bytes) {
  const Found* best = nullptr;
  const auto keeps = [&](const Found& found) {
    if (found.bytes <= bytes && (best == nullptr || found.extra < best->extra)) best = &found;
    return found.bytes <= bytes;
  };
  for (const Found& found : modes_) keeps(found);
  int64_t low = least_units_, high = units_;  // what is needed grows with what is planned for, nearly
  if (keeps(at(low))) {
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (keeps(at(middle)))
        low = middle;
      else
        high = middle - 1;
    }
  }
  if (best == nullptr) return std::nullopt;
  Found out = *best;
  if (is_exact_)  // else there are ways that were not tried
    out.lower_bound = bound_ == nullptr ? 0 : std::min(out.extra, bound_->extra(to_units(bytes, 0)).value_or(0));
  return out;
}

Budget::Found Budget::least() {
  const Found* least = &at(least_units_);
  for (const Found& found : modes_)
    if (found.bytes < least->bytes) least = &found;
  return *least;
}

}  // namespace ringmaster::passes
