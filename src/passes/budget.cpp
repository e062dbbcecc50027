// SPDX-License-Identifier: Apache-2.0
#include "passes/budget.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/with_float.h"
#include "ir/placement.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Category;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

int64_t size_of_value(const Graph& graph, ValueId v) { return ir::align_up(graph.type(v).bytes()); }

Graph in_order_of_the_run(const Graph& graph) {
  Graph ordered = graph;
  schedule(ordered, {});
  return ordered;
}

cost::Work work(const Node& node, const std::vector<ir::Type>& in, const std::vector<ir::Type>& out) {
  const ir::OpView view{node.attrs, in, out};
  cost::Work w{.key = ir::kernel_key(node, in), .flops = ir::gemm_flops(*node.op, view)};
  if (node.op->gemms != nullptr)
    for (const ir::Gemm& gemm : node.op->gemms(view)) w.narrow = w.narrow || is_16_bit_float(gemm.dtype);
  for (const ir::Type& t : in) w.bytes += t.bytes();
  for (const ir::Type& t : out) w.bytes += t.bytes();
  return w;
}

// Of a node that adds first, without the addition.
cost::Work work_from_sum(const Graph& graph, const Node& node) {
  std::vector<ir::Type> in = graph.input_types(node), out = graph.output_types(node);
  in.pop_back();
  out.pop_back();
  return work(node, in, out);
}

}  // namespace

cost::Work work_of(const Graph& graph, const Node& node) {
  return work(node, graph.input_types(node), graph.output_types(node));
}

int64_t activation_bytes(const Graph& graph) {
  std::map<int64_t, int64_t> change;
  for (const ir::Buffer& b : lifetimes(in_order_of_the_run(graph))) {
    if (b.category != Category::activations) continue;
    change[b.first] += b.bytes;
    change[b.last + 1] -= b.bytes;
  }
  int64_t bytes = 0, most = 0;
  for (const auto& [position, difference] : change) most = std::max(most, bytes += difference);
  return most;
}

double seconds_of(const Graph& graph, const Node& node, const cost::Table& costs) {
  if (node.op->cpu == nullptr || lies_in_its_input(graph, node)) return 0;
  return costs.seconds(work_of(graph, node));
}

Seconds seconds_of(const Graph& graph, const cost::Table& costs, int64_t grains) {
  Seconds out;
  for (const ir::Region& region : graph.regions()) {
    const double runs = region.kind == ir::RegionKind::for_grain ? static_cast<double>(grains) : 1.0;
    for (const NodeId id : region.nodes) {
      const Node& node = graph.node(id);
      (node.again ? out.again : out.once) += runs * seconds_of(graph, node, costs);
    }
  }
  return out;
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
  build_models();
  add_backward();
  build_links();
}

// The values and makers of each segment.
void Budget::build_models() {
  segment_of_.resize(forward_.values().size());
  for (size_t s = 0; s < segments_.size(); ++s) {
    const Segment& segment = segments_[s];
    SegmentModel model;
    NodeId maker = ir::none;
    for (int32_t i = segment.begin; i < segment.end; ++i) {
      segment_of_[static_cast<size_t>(i)] = static_cast<int32_t>(s);
      const Saveable& v = forward_.values()[static_cast<size_t>(i)];
      const Node& node = ordered_.node(v.maker);
      if (v.maker != maker) {
        maker = v.maker;
        const double whole = costs_.seconds(work_of(ordered_, node));
        const double from_sum = adds_first(node) ? costs_.seconds(work_from_sum(ordered_, node)) : whole;
        model.makers.push_back({v.behind_sum ? from_sum : whole, from_sum});
      }
      SegmentModel::Value value{.bytes = size_of_value(ordered_, v.value),
                                .maker = static_cast<int32_t>(model.makers.size()) - 1,
                                .behind_sum = v.behind_sum,
                                .fixed = v.fixed,
                                .passes = std::ranges::binary_search(segment.passing, i)};
      for (const int32_t from : v.from)
        if (from >= segment.begin) value.from.push_back(from - segment.begin);
      model.values.push_back(std::move(value));
    }
    models_.push_back(std::move(model));
  }
}

// The moments of backward, each given to the segment whose values it is the first to need, and what backward itself holds then.
void Budget::add_backward() {
  const std::vector<NodeId>& nodes = ordered_.regions()[static_cast<size_t>(forward_.region())].nodes;
  int64_t begin = 0;
  for (int r = 0; r < forward_.region(); ++r) begin += std::ssize(ordered_.regions()[static_cast<size_t>(r)].nodes);
  std::vector<int64_t> during(nodes.size() + 1), before(nodes.size() + 1);
  const auto end = static_cast<int64_t>(nodes.size());
  for (const ir::Buffer& b : lifetimes(ordered_)) {
    if (b.category != Category::activations || forward_.index(b.value) != Forward::nothing) continue;
    const int64_t first = std::max<int64_t>(b.first - begin, 0), last = std::min(b.last - begin + 1, end);
    if (first >= last) continue;
    during[static_cast<size_t>(first)] += b.bytes;
    during[static_cast<size_t>(last)] -= b.bytes;
    if (first + 1 >= last) continue;
    before[static_cast<size_t>(first) + 1] += b.bytes;
    before[static_cast<size_t>(last)] -= b.bytes;
  }
  for (size_t p = 1; p <= nodes.size(); ++p) {
    during[p] += during[p - 1];
    before[p] += before[p - 1];
  }
  std::vector<std::vector<int32_t>> wanted(nodes.size());
  for (size_t i = 0; i < forward_.values().size(); ++i)
    for (const int64_t at : forward_.values()[i].wants)
      wanted[static_cast<size_t>(at)].push_back(static_cast<int32_t>(i));
  const std::vector<int32_t> belongs = moments_of_segments(wanted);
  std::vector<int64_t> more(nodes.size() + 1);  // values that stay beyond the backward of their segment
  std::vector<size_t> ends(segments_.size());   // of the backward of each
  for (size_t p = 0; p < nodes.size(); ++p) ends[static_cast<size_t>(belongs[p])] = p + 1;
  std::vector<size_t> kept_until(forward_.values().size());
  for (size_t p = 0; p < nodes.size(); ++p) {
    for (const int32_t i : wanted[p]) {
      const auto home = static_cast<size_t>(segment_of_[static_cast<size_t>(i)]);
      SegmentModel::Value& value = model_value(i);
      if (static_cast<int32_t>(home) < belongs[p]) value.passes = true;  // backward of a segment behind needs it
      if (static_cast<int32_t>(home) <= belongs[p] || value.passes) continue;
      const size_t from = value.kept ? kept_until[static_cast<size_t>(i)] : std::min(ends[home], p);
      more[from] += value.bytes;
      more[p + 1] -= value.bytes;
      kept_until[static_cast<size_t>(i)] = p + 1;
      value.kept = true;
    }
  }
  int64_t beyond = 0;
  for (size_t p = 0; p < nodes.size(); ++p) {
    beyond += more[p];
    if (forward_.has(nodes[p]) || ir::is_leaf(ordered_.node(nodes[p]).op->traits.role)) continue;
    SegmentModel& model = models_[static_cast<size_t>(belongs[p])];
    const auto moment = static_cast<int32_t>(model.backward.size());
    model.backward.push_back({before[p] + beyond, during[p] + beyond});
    for (const int32_t i : wanted[p]) {
      SegmentModel::Value& value = model_value(i);
      if (segment_of_[static_cast<size_t>(i)] != belongs[p]) continue;
      if (value.wants.empty() || value.wants.back() != moment) value.wants.push_back(moment);
    }
  }
  for (SegmentModel& model : models_) {  // what stays beyond the backward of its segment stays during it
    const auto last = static_cast<int32_t>(model.backward.size()) - 1;
    for (SegmentModel::Value& value : model.values)
      if (value.kept && last >= 0 && (value.wants.empty() || value.wants.back() < last)) value.wants.push_back(last);
  }
}

SegmentModel::Value& Budget::model_value(int32_t index) {
  const auto home = static_cast<size_t>(segment_of_[static_cast<size_t>(index)]);
  return models_[home].values[static_cast<size_t>(index - segments_[home].begin)];
}

// By place in the region: the segment whose backward a node is part of, never a later one than that of a node before. Backward of a chain
// reads segment after segment from the last one; where something is read out of turn, a node belongs to the first segment read up to it or to
// the last one read from it on, whichever leaves fewer bytes out of turn.
std::vector<int32_t> Budget::moments_of_segments(const std::vector<std::vector<int32_t>>& wanted) {
  const auto segment_read = [&](int32_t i) {
    const int32_t home = segment_of_[static_cast<size_t>(i)];
    return std::min(home + (model_value(i).passes ? 1 : 0), static_cast<int32_t>(segments_.size()) - 1);
  };
  std::vector<int32_t> falling(wanted.size()), rest(wanted.size());
  auto now = static_cast<int32_t>(segments_.size()) - 1;
  for (size_t p = 0; p < wanted.size(); ++p) {
    for (const int32_t i : wanted[p]) now = std::min(now, segment_read(i));
    falling[p] = now;
  }
  now = 0;
  for (size_t p = wanted.size(); p-- > 0;) {
    for (const int32_t i : wanted[p]) now = std::max(now, segment_read(i));
    rest[p] = now;
  }
  const auto out_of_turn = [&](const std::vector<int32_t>& belongs) {
    int64_t bytes = 0;
    for (size_t p = 0; p < wanted.size(); ++p)
      for (const int32_t i : wanted[p])
        if (segment_read(i) != belongs[p] && segment_of_[static_cast<size_t>(i)] != belongs[p])
          bytes += model_value(i).bytes;
    return bytes;
  };
  return out_of_turn(falling) <= out_of_turn(rest) ? falling : rest;
}

void Budget::build_links() {
  std::map<SegmentModel, Ways> known;
  int64_t below = 0, most = 0;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const SegmentModel& model = models_[s];
    auto found = known.find(model);
    if (found == known.end()) found = known.emplace(model, find_ways(model)).first;
    const Ways& ways = found->second;
    exact_ = exact_ && ways.exact;
    Link link{.forward_peak = forward_peak(model, std::vector<bool>(model.values.size()), last_makers(model))};
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

Budget::Found Budget::obeyed(Tags tags) const {
  Graph obeys = graph_;
  set_tags(obeys, forward_, tags);
  recompute(obeys, {});
  return {.tags = std::move(tags), .bytes = activation_bytes(obeys), .extra = seconds_of(obeys, costs_, 1).again};
}

const Budget::Found& Budget::at(int64_t units) {
  const auto known = found_.find(units);
  if (known != found_.end()) return known->second;
  const auto plan = planner_->plan(units);
  CHECK(plan.has_value(), "no schedule within {} units", units);
  return found_.emplace(units, obeyed(tags_of(*plan))).first->second;
}

std::optional<Budget::Found> Budget::within(int64_t bytes) {
  int64_t low = least_units_, high = units_;  // what is needed grows with what is planned for, nearly
  while (low < high && at(low).bytes <= bytes) {
    const int64_t middle = (low + high + 1) / 2;
    if (at(middle).bytes <= bytes)
      low = middle;
    else
      high = middle - 1;
  }
  const Found* best = nullptr;
  const auto offer = [&](const Found& found) {
    if (found.bytes <= bytes && (best == nullptr || found.extra < best->extra)) best = &found;
  };
  for (const Found& found : modes_) offer(found);
  for (const auto& [units, found] : found_) offer(found);
  if (best == nullptr) return std::nullopt;
  Found out = *best;
  if (bound_ != nullptr) out.lower_bound = std::min(out.extra, bound_->extra(to_units(bytes, 0)).value_or(0));
  return out;
}

Budget::Found Budget::least() {
  const Found* least = &at(least_units_);
  for (const Found& found : modes_)
    if (found.bytes < least->bytes) least = &found;
  return *least;
}

}  // namespace ringmaster::passes
