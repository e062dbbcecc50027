// SPDX-License-Identifier: Apache-2.0
#include "passes/budget.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ir/placement.h"
#include "passes/chain_model.h"
#include "passes/passes.h"
#include "passes/recompute.h"
#include "passes/work.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::NodeId;

Graph in_order_of_the_run(Graph graph) {
  schedule(graph, {});
  return graph;
}

int64_t most_activations(const Graph& in_order) {
  std::vector<ir::Buffer> buffers = lifetimes(in_order);
  std::erase_if(buffers, [](const ir::Buffer& b) { return b.category != ir::Category::activations; });
  return ir::fullest(buffers).bytes;
}

// The region and what it reads, all else left out: updates are most of a program, and no budget of activations depends on them.
Graph alone(const Graph& graph, int region) {
  std::vector<bool> wanted(static_cast<size_t>(graph.num_nodes()));
  std::vector<NodeId> open = graph.regions()[static_cast<size_t>(region)].nodes;
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (wanted[static_cast<size_t>(id)]) continue;
    wanted[static_cast<size_t>(id)] = true;
    for (const ir::ValueId v : graph.node(id).inputs) open.push_back(graph.value(v).producer);
  }
  Graph out(graph.name());
  for (const ir::State& state : graph.states()) out.add_state(state);
  std::vector<ir::ValueId> as(static_cast<size_t>(graph.num_values()), ir::none);
  for (const ir::Region& r : graph.regions()) {
    const int here = out.add_region(r.kind);
    for (const NodeId id : r.nodes) {
      if (!wanted[static_cast<size_t>(id)]) continue;
      const ir::Node& node = graph.node(id);
      std::vector<ir::ValueId> inputs;
      for (const ir::ValueId v : node.inputs) inputs.push_back(as[static_cast<size_t>(v)]);
      const NodeId made = out.add_node(here, *node.op, std::move(inputs), node.attrs, node.scope);
      for (size_t i = 0; i < node.outputs.size(); ++i)
        as[static_cast<size_t>(node.outputs[i])] = out.node(made).outputs[i];
    }
  }
  return out;
}

}  // namespace

int64_t activation_bytes(const Graph& graph) { return most_activations(in_order_of_the_run(graph)); }

Budget::Budget(const Graph& graph, int region, const cost::Table& costs)
    : costs_(costs),
      whole_(in_order_of_the_run(graph), region),
      graph_(in_order_of_the_run(alone(graph, region))),
      forward_(graph_, region),
      segments_(cut(graph_, forward_)) {
  bytes_of_none_ = most_activations(graph_);
  has_backward_ = std::ranges::any_of(forward_.values(), [](const Saveable& s) { return !s.wants.empty(); });
  modes_.push_back({.tags = Tags(forward_.values().size()), .bytes = bytes_of_none_});
  if (has_backward_) look_at_forward();
  find_least();
}

std::vector<Remade> Budget::obey(Graph& graph, const Tags& tags) const {
  set_tags(graph, tags);
  return remake(graph, whole_);
}

void Budget::look_at_forward() {
  made_again_.resize(static_cast<size_t>(graph_.num_nodes()));
  for (const Saveable& s : forward_.values()) {
    const ir::Node& node = graph_.node(s.maker);
    MadeAgain& again = made_again_[static_cast<size_t>(s.maker)];
    again.seconds = seconds_of(graph_, node, costs_);
    if (adds_first(node)) again.seconds_from_sum = costs_.seconds(work_from_sum(graph_, node));
  }
  modes_.push_back(obeyed(tags_of_selection(graph_, forward_, segments_)));
  modes_.push_back(obeyed(tags_of_blocks(forward_, segments_)));
  models_ = chain_model(graph_, forward_, segments_, costs_);
  build_links();
}

void Budget::set_tags(Graph& graph, const Tags& tags) const { passes::set_tags(graph, whole_, tags); }

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
        link.passing += size_of_value(graph_, forward_.values()[static_cast<size_t>(i)].value);
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
  obeys_ = graph_;                    // its memory is used again
  passes::set_tags(obeys_, forward_, tags);
  double extra = 0;
  for (const Remade& made : remake(obeys_, forward_)) {
    const MadeAgain& again = made_again_[static_cast<size_t>(made.original)];
    extra += made.from_sum ? again.seconds_from_sum : again.seconds;
  }
  schedule(obeys_, {});
  return known->second = {.tags = tags, .bytes = most_activations(obeys_), .extra = extra};
}

const Budget::Found& Budget::at(int64_t units) {
  const auto known = found_.find(units);
  if (known != found_.end()) return *known->second;
  const auto plan = planner_->plan(units);
  CHECK(plan.has_value(), "no schedule within {} units", units);
  return *found_.emplace(units, &obeyed(tags_of(*plan))).first->second;
}

// Plans for more units may come to fewer bytes, as memory is held in units; but hardly those for more than what is known to do.
void Budget::find_least() {
  constexpr size_t few = 128;  // values of forward: so few are planned for in a moment
  tries_all_ = forward_.values().size() <= few;
  least_ = &modes_.front();
  for (const Found& found : modes_)
    if (found.bytes < least_->bytes) least_ = &found;
  for (int64_t units = least_units_;
       planner_ != nullptr && units <= units_ && (tries_all_ || units * unit_ <= least_->bytes); ++units)
    if (at(units).bytes < least_->bytes) least_ = &at(units);
}

// What is found for a budget does not depend on what was asked before.
std::optional<Budget::Found> Budget::within(int64_t bytes) {
  if (least_->bytes > bytes) return std::nullopt;
  const Found* best = least_;
  const auto keeps = [&](const Found& found) {
    if (found.bytes <= bytes && found.extra < best->extra) best = &found;
    return found.bytes <= bytes;
  };
  for (const Found& found : modes_) keeps(found);
  if (tries_all_ && planner_ != nullptr)
    for (int64_t units = least_units_; units <= units_; ++units) keeps(at(units));
  // What is needed grows with what is planned for, nearly as much: from one to the next by what was over or under, and every third
  // time halfway.
  int64_t low = least_units_ - 1, high = tries_all_ || planner_ == nullptr ? low : units_, next = to_units(bytes, 0);
  for (int turn = 1; low < high; ++turn) {
    const int64_t units = turn % 3 == 0 ? (low + high + 1) / 2 : std::clamp(next, low + 1, high);
    const Found& found = at(units);
    (keeps(found) ? low : high) = found.bytes <= bytes ? units : units - 1;
    next = units + (bytes - found.bytes) / unit_;
  }
  Found out = *best;
  if (is_exact_)  // else there are ways that were not tried
    out.lower_bound = bound_ == nullptr ? 0 : std::min(out.extra, bound_->extra(to_units(bytes, 0)).value_or(0));
  return out;
}

}  // namespace ringmaster::passes
