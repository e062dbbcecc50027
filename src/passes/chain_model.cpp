// SPDX-License-Identifier: Apache-2.0
#include "passes/chain_model.h"

#include <algorithm>

#include "ir/placement.h"
#include "passes/passes.h"
#include "passes/work.h"

namespace ringmaster::passes {
namespace {

using ir::Category;
using ir::Graph;
using ir::Node;
using ir::NodeId;

class Modeller {
 public:
  Modeller(const Graph& graph, const Forward& forward, const std::vector<Segment>& segments, const cost::Table& costs)
      : graph_(graph),
        forward_(forward),
        segments_(segments),
        costs_(costs),
        nodes_(graph.regions()[static_cast<size_t>(forward.region())].nodes),
        wanted_(nodes_.size()) {}

  std::vector<SegmentModel> run() {
    add_forward();
    find_moments();
    add_backward();
    return std::move(models_);
  }

 private:
  // The values and makers of each segment.
  void add_forward() {
    home_.resize(forward_.values().size());
    for (size_t s = 0; s < segments_.size(); ++s) {
      const Segment& segment = segments_[s];
      SegmentModel model;
      NodeId maker = ir::none;
      for (int32_t i = segment.begin; i < segment.end; ++i) {
        home_[static_cast<size_t>(i)] = static_cast<int32_t>(s);
        const Saveable& v = forward_.values()[static_cast<size_t>(i)];
        const Node& node = graph_.node(v.maker);
        if (v.maker != maker) {
          maker = v.maker;
          const double whole = costs_.seconds(work_of(graph_, node));
          const double from_sum = adds_first(node) ? costs_.seconds(work_from_sum(graph_, node)) : whole;
          model.makers.push_back({v.behind_sum ? from_sum : whole, from_sum});
        }
        SegmentModel::Value value{.bytes = size_of_value(graph_, v.value),
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

  // The values that each node of backward reads, and the segment that it belongs to.
  void find_moments() {
    for (size_t i = 0; i < forward_.values().size(); ++i)
      for (const int64_t at : forward_.values()[i].wants)
        wanted_[static_cast<size_t>(at)].push_back(static_cast<int32_t>(i));
    belongs_ = moments_of_segments();
  }

  // By place in the region: the segment whose backward a node is part of, never a later one than that of a node before. Backward of a chain
  // reads segment after segment from the last one; where something is read out of turn, a node belongs to the first segment read up to it or to
  // the last one read from it on, whichever leaves fewer bytes out of turn.
  std::vector<int32_t> moments_of_segments() {
    const auto segment_read = [&](int32_t i) {
      const int32_t home = home_[static_cast<size_t>(i)];
      return std::min(home + (value(i).passes ? 1 : 0), static_cast<int32_t>(segments_.size()) - 1);
    };
    std::vector<int32_t> falling(wanted_.size()), rest(wanted_.size());
    auto now = static_cast<int32_t>(segments_.size()) - 1;
    for (size_t p = 0; p < wanted_.size(); ++p) {
      for (const int32_t i : wanted_[p]) now = std::min(now, segment_read(i));
      falling[p] = now;
    }
    now = 0;
    for (size_t p = wanted_.size(); p-- > 0;) {
      for (const int32_t i : wanted_[p]) now = std::max(now, segment_read(i));
      rest[p] = now;
    }
    const auto out_of_turn = [&](const std::vector<int32_t>& belongs) {
      int64_t bytes = 0;
      for (size_t p = 0; p < wanted_.size(); ++p)
        for (const int32_t i : wanted_[p])
          if (segment_read(i) != belongs[p] && home_[static_cast<size_t>(i)] != belongs[p]) bytes += value(i).bytes;
      return bytes;
    };
    return out_of_turn(falling) < out_of_turn(rest) ? falling : rest;
  }

  // Bytes of backward's own values, by place: before the node, and while it runs.
  std::vector<SegmentModel::Moment> own_bytes() const {
    int64_t begin = 0;
    for (int r = 0; r < forward_.region(); ++r) begin += std::ssize(graph_.regions()[static_cast<size_t>(r)].nodes);
    std::vector<int64_t> during(nodes_.size() + 1), before(nodes_.size() + 1);
    const auto end = static_cast<int64_t>(nodes_.size());
    for (const ir::Buffer& b : lifetimes(graph_)) {
      if (b.category != Category::activations || forward_.index(b.value) != Forward::nothing) continue;
      const int64_t first = std::max<int64_t>(b.first - begin, 0), last = std::min(b.last - begin + 1, end);
      if (first >= last) continue;
      during[static_cast<size_t>(first)] += b.bytes;
      during[static_cast<size_t>(last)] -= b.bytes;
      if (first + 1 >= last) continue;
      before[static_cast<size_t>(first) + 1] += b.bytes;
      before[static_cast<size_t>(last)] -= b.bytes;
    }
    std::vector<SegmentModel::Moment> out(nodes_.size());
    for (size_t p = 0; p < nodes_.size(); ++p) {
      if (p > 0) during[p] += during[p - 1];
      if (p > 0) before[p] += before[p - 1];
      out[p] = {before[p], during[p]};
    }
    return out;
  }

  // By place: bytes of values that stay there beyond the backward of their segment, because a later one reads them.
  std::vector<int64_t> keep_what_is_read_out_of_turn() {
    std::vector<int64_t> more(nodes_.size() + 1);
    std::vector<size_t> ends(segments_.size());  // of the backward of each
    for (size_t p = 0; p < nodes_.size(); ++p) ends[static_cast<size_t>(belongs_[p])] = p + 1;
    std::vector<size_t> kept_until(forward_.values().size());
    for (size_t p = 0; p < nodes_.size(); ++p) {
      for (const int32_t i : wanted_[p]) {
        const auto home = static_cast<size_t>(home_[static_cast<size_t>(i)]);
        SegmentModel::Value& value = this->value(i);
        if (static_cast<int32_t>(home) < belongs_[p]) value.passes = true;  // backward of a segment behind needs it
        if (static_cast<int32_t>(home) <= belongs_[p] || value.passes) continue;
        const size_t from = value.kept ? kept_until[static_cast<size_t>(i)] : std::min(ends[home], p);
        more[from] += value.bytes;
        more[p + 1] -= value.bytes;
        kept_until[static_cast<size_t>(i)] = p + 1;
        value.kept = true;
      }
    }
    for (size_t p = 1; p < more.size(); ++p) more[p] += more[p - 1];
    return more;
  }

  void add_backward() {
    const std::vector<int64_t> beyond = keep_what_is_read_out_of_turn();
    const std::vector<SegmentModel::Moment> own = own_bytes();
    for (size_t p = 0; p < nodes_.size(); ++p) {
      if (forward_.has(nodes_[p]) || ir::is_leaf(graph_.node(nodes_[p]).op->traits.role)) continue;
      SegmentModel& model = models_[static_cast<size_t>(belongs_[p])];
      const auto moment = static_cast<int32_t>(model.backward.size());
      model.backward.push_back({own[p].before + beyond[p], own[p].during + beyond[p]});
      for (const int32_t i : wanted_[p]) {
        SegmentModel::Value& value = this->value(i);
        if (home_[static_cast<size_t>(i)] != belongs_[p]) continue;
        if (value.wants.empty() || value.wants.back() != moment) value.wants.push_back(moment);
      }
    }
    for (SegmentModel& model : models_) {  // what stays beyond the backward of its segment stays during it
      const auto last = static_cast<int32_t>(model.backward.size()) - 1;
      for (SegmentModel::Value& value : model.values)
        if (value.kept && last >= 0 && (value.wants.empty() || value.wants.back() < last)) value.wants.push_back(last);
    }
  }

  SegmentModel::Value& value(int32_t index) {
    const auto home = static_cast<size_t>(home_[static_cast<size_t>(index)]);
    return models_[home].values[static_cast<size_t>(index - segments_[home].begin)];
  }

  const Graph& graph_;
  const Forward& forward_;
  const std::vector<Segment>& segments_;
  const cost::Table& costs_;
  const std::vector<NodeId>& nodes_;          // of the region
  std::vector<std::vector<int32_t>> wanted_;  // by place: what backward reads there
  std::vector<int32_t> home_;                 // by value: its segment
  std::vector<int32_t> belongs_;              // by place: the segment whose backward it is part of
  std::vector<SegmentModel> models_;
};

}  // namespace

int64_t size_of_value(const Graph& graph, ir::ValueId v) { return ir::align_up(graph.type(v).bytes()); }

std::vector<SegmentModel> chain_model(const Graph& graph, const Forward& forward, const std::vector<Segment>& segments,
                                      const cost::Table& costs) {
  return Modeller(graph, forward, segments, costs).run();
}

}  // namespace ringmaster::passes
