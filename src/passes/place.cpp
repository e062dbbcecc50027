// SPDX-License-Identifier: Apache-2.0
// place: fixed offsets for everything that a program stores. Values that are views share their source's buffer; an op may
// write over an input that dies there; the rest is packed by lifetime, largest first, at the lowest offset that is free
// (greedy by size, Pisarchyk and Lee 2020, arXiv:2001.03288). The workspace lies low, so that the highest buffer is one that a
// kernel writes to its end and the plan's peak can be checked against the touched bytes.
#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "passes/filled.h"
#include "passes/forward.h"
#include "passes/passes.h"
#include "passes/taken.h"

namespace ringmaster::passes {
namespace {

using ir::Buffer;
using ir::Category;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Placement;
using ir::Role;
using ir::ValueId;

class Placer {
 public:
  Placer(const Graph& graph, const PlaceOptions& options) : graph_(graph), options_(options) {
    out_.values.assign(static_cast<size_t>(graph.num_values()), {});
    for (auto& place : out_.values) place.offset = -1;
    find_lifetimes();
  }

  Placement run(bool packed) {
    place_fixed();
    for (const ir::Region& region : graph_.regions())
      for (const NodeId id : region.nodes) group_collective(graph_.node(id));
    for (size_t r = 0; r < graph_.regions().size(); ++r)
      for (const NodeId id : graph_.regions()[r].nodes) place_node(id);
    if (packed) pack();
    return std::move(out_);
  }

 private:
  struct Home {
    int32_t buffer = -1;  // index into out_.buffers; -1: fixed at `offset` of the arena
    int64_t offset = -1;
    const ir::State* state = nullptr;
    int64_t grain_stride = 0;
  };

  bool skipped(size_t region) const {
    return options_.local_grains == 0 && graph_.regions()[region].kind == ir::RegionKind::for_grain;
  }

  // positions of nodes, and of each value's last use; a loop uses what it reads from outside until its end
  void find_lifetimes() {
    position_.assign(static_cast<size_t>(graph_.num_nodes()), 0);
    last_.assign(static_cast<size_t>(graph_.num_values()), -1);
    sum_.assign(static_cast<size_t>(graph_.num_values()), ir::none);
    home_.assign(static_cast<size_t>(graph_.num_values()), {});
    written_.assign(static_cast<size_t>(graph_.num_values()), {});
    gradient_ = is_gradient(graph_);
    for (const ir::State& state : graph_.states()) states_[state.name] = &state;
    for (const ir::Region& region : graph_.regions()) {
      begin_.push_back(end_);
      for (const NodeId id : region.nodes) position_[static_cast<size_t>(id)] = end_++;
      stop_.push_back(end_);
    }
    for (size_t r = 0; r < graph_.regions().size(); ++r) {
      for (const NodeId id : graph_.regions()[r].nodes) {
        const Node& node = graph_.node(id);
        const Role role = node.op->traits.role;
        for (const ValueId v : node.inputs) {
          int64_t use = graph_.producer(v).region == static_cast<int>(r) ? position_[static_cast<size_t>(id)]
                                                                         : last_position(r, id);
          if (role == Role::grain_sum && is_added_where_made(v)) sum_[static_cast<size_t>(v)] = node.outputs[0];
          if (role == Role::output) use = end_;  // the host reads it after the run
          last_[static_cast<size_t>(v)] = std::max(last_[static_cast<size_t>(v)], use);
          if (role == Role::state_write) {
            const int64_t begin = std::max<int64_t>(0, node.attrs.integer("begin"));
            written_[static_cast<size_t>(v)] = {state_of(node), begin * size_of(graph_.type(v).dtype)};
          }
        }
      }
    }
    for (const ir::Region& region : graph_.regions())
      for (const NodeId id : region.nodes)
        if (const Node& node = graph_.node(id); node.op->traits.role == Role::state_read)
          use_state(state_of(node), last_[static_cast<size_t>(node.outputs[0])]);
  }
  int64_t last_position(size_t region, NodeId id) const {
    return graph_.regions()[region].kind == ir::RegionKind::for_grain ? stop_[region]  // the next grain reads it again
                                                                      : position_[static_cast<size_t>(id)];
  }

  // states, scalars and scratch, from the bottom up
  void place_fixed() {
    floor_ = options_.states != nullptr ? options_.states->end : 0;
    if (options_.states != nullptr && options_.states->exchange_bytes > 0) {
      exchange_ = options_.states->shared_bytes;
      out_.buffers.push_back({exchange_, options_.states->exchange_bytes, 0, end_, Category::gradients, ir::none});
    }
    int64_t scalars = 0;
    for (const ir::Region& region : graph_.regions()) {
      for (const NodeId id : region.nodes) {
        const Node& node = graph_.node(id);
        if (node.op->traits.role != Role::scalar || out_.scalars.contains(node.attrs.text("name"))) continue;
        out_.scalars[node.attrs.text("name")] = floor_ + scalars;
        scalars += ir::arena_alignment;
      }
    }
    if (scalars > 0) out_.buffers.push_back({floor_, scalars, 0, end_, Category::batches, ir::none});
    floor_ += scalars;
    out_.workspace = place_scratch(Category::workspace);
    out_.communication = place_scratch(Category::communication);
    fixed_ = out_.buffers.size();
  }

  // One stretch for the scratch of all kernels, or of all collectives: one of them runs at a time.
  int64_t place_scratch(Category category) {
    int64_t bytes = 0;
    for (size_t r = 0; r < graph_.regions().size(); ++r) {
      for (const NodeId id : graph_.regions()[r].nodes) {
        const bool collective = graph_.node(id).op->traits.role == Role::collective;
        if (!skipped(r) && collective == (category == Category::communication)) bytes = std::max(bytes, scratch(id));
      }
    }
    const int64_t offset = floor_;
    if (bytes > 0) out_.buffers.push_back({offset, ir::align_up(bytes), 0, end_, category, ir::none});
    floor_ += ir::align_up(bytes);
    return offset;
  }
  int64_t scratch(NodeId id) const {
    return static_cast<size_t>(id) < options_.scratch_bytes.size() ? options_.scratch_bytes[static_cast<size_t>(id)]
                                                                   : 0;
  }

  int32_t new_buffer(int64_t bytes, int64_t first, int64_t last, Category category, ValueId v) {
    out_.buffers.push_back({0, ir::align_up(bytes), first, last, category, v});
    return static_cast<int32_t>(out_.buffers.size()) - 1;
  }

  void settle(ValueId v, const Home& home) {
    home_[static_cast<size_t>(v)] = home;
    if (home.state != nullptr) use_state(home.state, last_[static_cast<size_t>(v)]);
    if (home.buffer < 0) return;
    Buffer& buffer = out_.buffers[static_cast<size_t>(home.buffer)];
    buffer.last = std::max({buffer.last, last_[static_cast<size_t>(v)], buffer.first});
  }

  // What one collective moves lies in one piece, so that it is one message stream: where other ranks of the node read it, or wherever
  // there is place from the first grain on.
  void group_collective(const Node& node) {
    if (node.op->traits.role != Role::collective || node.inputs.empty()) return;
    const std::vector<int64_t> offsets = ir::bucket_offsets(graph_, node);
    const bool shared = options_.states != nullptr && options_.states->exchange_bytes > 0;
    int64_t first = end_;
    for (const ValueId v : node.inputs) {
      const Node& maker = graph_.producer(v);
      const bool leaves = ir::is_grain_exit(maker.op->traits.role);
      first = std::min(first, leaves ? begin_[static_cast<size_t>(maker.region)]
                                     : position_[static_cast<size_t>(graph_.value(v).producer)]);
    }
    const int32_t buffer =
        shared ? -1 : new_buffer(offsets.back(), first, first, Category::gradients, node.inputs.front());
    for (size_t i = 0; i < node.inputs.size(); ++i)
      settle(node.inputs[i], {buffer, (shared ? exchange_ : 0) + offsets[i]});
    if (!shared) return;
    exchange_ += offsets.back();
    for (Buffer& b : out_.buffers)  // for reports
      if (b.category == Category::gradients && b.value == ir::none) b.value = node.inputs.front();
  }

  void place_node(NodeId id) {
    const Node& node = graph_.node(id);
    const auto r = static_cast<size_t>(node.region);
    const Role role = node.op->traits.role;
    if (skipped(r) && !ir::is_grain_exit(role)) return;
    const int64_t now = position_[static_cast<size_t>(id)];
    switch (role) {
      case Role::input: {
        const ValueId v = node.outputs[0];
        const int64_t stride = ir::align_up(graph_.type(v).bytes());
        settle(v, {new_buffer(stride * options_.local_grains, 0, end_, Category::batches, v), 0, nullptr, stride});
        return;
      }
      case Role::scalar: settle(node.outputs[0], {-1, out_.scalars.at(node.attrs.text("name"))}); return;
      case Role::state_read: settle(node.outputs[0], state_home(node.attrs.text("name"))); return;
      case Role::grain_sum:
      case Role::grain_gather:
        for (const ValueId v : node.outputs) place_exit(v, r, now);
        return;
      case Role::collective:
        for (size_t i = 0; i < node.outputs.size(); ++i)
          settle(node.outputs[i], home_[static_cast<size_t>(node.inputs[i])]);
        return;
      default: break;
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) place_output(node, i, now);
  }

  // Where there is one grain, what leaves it begins to matter when it is first written; else an earlier grain has written it.
  int64_t exit_begins(size_t region, int64_t now) const { return options_.local_grains == 1 ? now : begin_[region]; }

  void place_exit(ValueId v, size_t region, int64_t now) {
    if (is_placed(v)) return;
    settle(v, {new_buffer(graph_.type(v).bytes(), exit_begins(region, now), now, Category::gradients, v), 0});
  }

  bool is_placed(ValueId v) const { return home_[static_cast<size_t>(v)].offset >= 0; }

  // Does its op add it to the sum over the grains that reads it?
  bool is_added_where_made(ValueId v) const {
    const Node& maker = graph_.producer(v);
    return maker.op->traits.sums == graph_.value(v).index && !maker.attrs.text("into_sum").empty();
  }

  const ir::State* state_of(const Node& node) const { return states_.at(node.attrs.text("name")); }
  void use_state(const ir::State* state, int64_t at) {
    int64_t& last = state_used_.try_emplace(state, at).first->second;
    last = std::max(last, at);
  }

  Home state_home(const std::string& name) const {
    return {-1, options_.states != nullptr ? options_.states->offset.at(name) : 0, states_.at(name)};
  }

  void place_output(const Node& node, size_t i, int64_t now) {
    const ValueId v = node.outputs[i];
    if (is_placed(v)) return;
    if (const ValueId sum = sum_[static_cast<size_t>(v)]; sum != ir::none) {
      place_exit(sum, static_cast<size_t>(node.region), now);
      return settle(v, home_[static_cast<size_t>(sum)]);
    }
    if (node.op->view != nullptr) {
      const auto in = graph_.input_types(node), out = graph_.output_types(node);
      if (const auto shift = node.op->view({node.attrs, in, out}, static_cast<int>(i))) {
        Home home = home_[static_cast<size_t>(node.inputs[0])];
        home.offset += *shift;
        return settle(v, home);
      }
    }
    if (const Home home = state_to_write(node, v, now); home.state != nullptr) return settle(v, home);
    if (node.op->traits.in_place && i < node.inputs.size() && may_overwrite(node, i, now)) {
      return settle(v, home_[static_cast<size_t>(node.inputs[i])]);
    }
    const Category category = gradient_[static_cast<size_t>(v)] ? Category::gradients : Category::activations;
    settle(v, {new_buffer(graph_.type(v).bytes(), now, now, category, v), 0});
  }

  // May output i of the node at `now` take the memory of input i?
  bool may_overwrite(const Node& node, size_t i, int64_t now) const {
    const ValueId from = node.inputs[i], to = node.outputs[i];
    const Home& home = home_[static_cast<size_t>(from)];
    if (graph_.type(from) != graph_.type(to) || home.grain_stride != 0) return false;
    for (size_t k = 0; k < node.inputs.size(); ++k)
      if (k != i && same_memory(home, home_[static_cast<size_t>(node.inputs[k])])) return false;
    if (home.buffer < 0) return home.state != nullptr && is_written(to, home) && state_dies(home.state, now);
    const Buffer& buffer = out_.buffers[static_cast<size_t>(home.buffer)];
    const bool whole = home.offset == 0 && buffer.bytes == ir::align_up(graph_.type(from).bytes());
    return whole && buffer.last <= now;
  }
  static bool same_memory(const Home& a, const Home& b) {
    return a.buffer >= 0 ? a.buffer == b.buffer : a.state != nullptr && a.state == b.state;
  }

  bool is_written(ValueId v, const Home& home) const {
    const Written& written = written_[static_cast<size_t>(v)];
    return home.state == written.state && home.offset == state_home(written.state->name).offset + written.begin;
  }

  // The memory of the state, or the part of one, that v is written to, if the node at `now` may write there at once: who reads the old
  // value has done so, and the node itself does not.
  Home state_to_write(const Node& node, ValueId v, int64_t now) const {
    const auto [state, begin] = written_[static_cast<size_t>(v)];
    if (state == nullptr || node.op->traits.role != Role::compute || node.inputs.empty()) return {};
    Home home = state_home(state->name);
    home.offset += begin;
    for (const ValueId in : node.inputs)
      if (same_memory(home, home_[static_cast<size_t>(in)])) return {};
    return state_dies(state, now) ? home : Home{};
  }

  // No read of the state, placed already or yet to come, nor a view of it may be used behind `now`.
  bool state_dies(const ir::State* state, int64_t now) const {
    const auto used = state_used_.find(state);
    return used == state_used_.end() || used->second <= now;
  }

  // greedy by size: the largest buffer first, each at the lowest offset where nothing alive at the same time lies
  void pack() {
    std::vector<size_t> order(out_.buffers.size() - fixed_);
    std::iota(order.begin(), order.end(), fixed_);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return out_.buffers[a].bytes > out_.buffers[b].bytes; });
    Taken taken;
    Filled filled(end_ + 1, floor_);
    out_.peak_bytes = floor_;
    for (const size_t index : order) {
      Buffer& buffer = out_.buffers[index];
      buffer.offset = floor_;
      if (buffer.bytes == 0) continue;
      const auto [first, last] = std::pair{buffer.first, buffer.last};
      buffer.offset = taken.free_from(filled.highest(first, last), buffer.bytes, first, last);
      const int64_t end = buffer.offset + buffer.bytes;
      filled.take(first, last, buffer.offset, end);
      taken.insert({buffer.offset, end, first, last});
      out_.peak_bytes = std::max(out_.peak_bytes, end);
    }
    for (size_t v = 0; v < home_.size(); ++v) {
      const Home& home = home_[v];
      if (home.offset < 0) continue;
      const int64_t base = home.buffer < 0 ? 0 : out_.buffers[static_cast<size_t>(home.buffer)].offset;
      out_.values[v] = {home.buffer, base + home.offset, home.grain_stride};
    }
  }

  const Graph& graph_;
  const PlaceOptions& options_;
  Placement out_;
  std::vector<int64_t> position_, last_, begin_, stop_;
  int64_t end_ = 0, floor_ = 0;
  size_t fixed_ = 0;
  std::vector<ValueId> sum_;  // by value: the sum over the grains that it is added to where it is made
  std::vector<Home> home_;
  struct Written {
    const ir::State* state = nullptr;
    int64_t begin = 0;  // bytes
  };
  std::vector<Written> written_;  // by value: where a state_write wants it
  int64_t exchange_ = 0;          // end of the buckets that other ranks of the node read
  std::unordered_map<std::string_view, const ir::State*> states_;  // by name
  std::map<const ir::State*, int64_t> state_used_;                 // the last use of a read or a view of it
  std::vector<bool> gradient_;                                     // by value
};

}  // namespace

Placement place(const Graph& graph, const PlaceOptions& options) {
  CHECK(options.states != nullptr, "place needs the layout of the states");
  return Placer(graph, options).run(true);
}

std::vector<ir::Buffer> lifetimes(const Graph& graph) { return Placer(graph, {}).run(false).buffers; }

}  // namespace ringmaster::passes
