// SPDX-License-Identifier: Apache-2.0
// split: keeps the weights that have a shadow in two halves (core/halves.h), the shadow in bf16 and its remainder beside it,
// in place of an f32 master. An update takes and gives both halves (Traits::remainder), rows of a table are taken from both
// (Traits::gathers), and whoever else wants f32 reads the halves joined.
//   before   %w f32 = state_read() name="w" ; %v, %m, .. = adam(%w, ..) ; state_write(%v) name="w"
//   after    %h bf16 = state_read() name="w.shadow" ; %l u16 = state_read() name="w.remainder"
//            %v, %m, .., %r = adam(%h, .., %l, ..) ; state_write(%v) name="w.shadow" ; state_write(%r) name="w.remainder"
// Needs: what writes such a weight is an update of it.
#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::Tensor;
using ir::ValueId;

class SplitMasters {
 public:
  SplitMasters(Graph& graph, const Settings& settings) : graph_(graph), settings_(settings), builder_(graph) {}

  void run_region(int region) {
    builder_.enter_region(region);
    std::vector<NodeId>& nodes = graph_.regions()[static_cast<size_t>(region)].nodes;
    for (const NodeId id : std::exchange(nodes, {}))
      if (!rewrite(id)) graph_.regions()[static_cast<size_t>(region)].nodes.push_back(id);
  }

  int64_t joins() const { return joins_; }

 private:
  struct Halves {
    Tensor high, low, joined = {};  // joined: once somebody has asked for it
  };

  // Puts nodes on halves in its place; false: it stays, with its inputs joined.
  bool rewrite(NodeId id) {
    const Node node = graph_.node(id);  // a copy: adding nodes moves them
    const ir::ScopeGuard scope(builder_, node.scope);
    const bool reads = !node.inputs.empty() && halves_.contains(node.inputs[0]);
    if (is_master(node)) {
      read_or_write(node);
    } else if (reads && node.op->traits.remainder >= 0) {
      update(node);
    } else if (reads && node.op->traits.gathers) {
      gather(node);
    } else {
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (const auto it = halves_.find(node.inputs[i]); it != halves_.end())
          graph_.node(id).inputs[i] = joined(it->second).id();
      return false;
    }
    graph_.node(id).dead = true;
    return true;
  }

  bool is_master(const Node& node) const {
    const Role role = node.op->traits.role;
    return (role == Role::state_read || role == Role::state_write) &&
           std::ranges::find(settings_.shadows, node.attrs.text("name")) != settings_.shadows.end();
  }

  void read_or_write(const Node& node) {
    const std::string& name = node.attrs.text("name");
    const std::string shadow = ir::shadow_name(name), rest = ir::remainder_name(name);
    if (node.op->traits.role == Role::state_read) {
      halves_[node.outputs[0]] = {ops::state_read(builder_, shadow), ops::state_read(builder_, rest)};
      return;
    }
    const auto written = halves_.find(node.inputs[0]);
    CHECK(written != halves_.end(), "{} at {} is no update of the split weight {}",
          graph_.producer(node.inputs[0]).op->name, node.scope, name);
    ops::state_write(written->second.high, shadow);
    ops::state_write(written->second.low, rest);
  }

  std::vector<Tensor> with_first(Tensor first, const Node& node) {
    std::vector<Tensor> in{first};
    for (size_t i = 1; i < node.inputs.size(); ++i) in.emplace_back(&builder_, node.inputs[i]);
    return in;
  }

  void update(const Node& node) {
    const Halves weight = halves_.at(node.inputs[0]);
    const auto at = static_cast<size_t>(node.op->traits.remainder);
    std::vector<Tensor> in = with_first(weight.high, node);
    in.insert(in.begin() + static_cast<std::ptrdiff_t>(at), weight.low);
    const std::vector<Tensor> out = builder_.emit(*node.op, in, node.attrs);
    for (size_t i = 1; i < node.outputs.size(); ++i)
      graph_.replace_uses(node.outputs[i], out[i + (i < at ? 0 : 1)].id());
    halves_[node.outputs[0]] = {out[0], out[at]};
  }

  void gather(const Node& node) {
    const Halves table = halves_.at(node.inputs[0]);
    const Tensor high = builder_.emit(*node.op, with_first(table.high, node), node.attrs)[0];
    const Tensor low = builder_.emit(*node.op, with_first(table.low, node), node.attrs)[0];
    graph_.replace_uses(node.outputs[0], ops::join_master(high, low).id());
  }

  Tensor joined(Halves& halves) {
    if (halves.joined.valid()) return halves.joined;
    ++joins_;
    return halves.joined = ops::join_master(halves.high, halves.low);
  }

  Graph& graph_;
  const Settings& settings_;
  ir::Builder builder_;
  std::map<ValueId, Halves> halves_;  // by the f32 value that they stand for
  int64_t joins_ = 0;
};

}  // namespace

std::string split_masters(Graph& graph, const Settings& settings) {
  if (!settings.split) return "masters in f32";
  for (const std::string& weight : settings.shadows) {
    const ir::State* state = graph.find_state(weight);
    CHECK(state != nullptr, "{} has no state {}", graph.name(), weight);
    const Shape shape = state->type.shape;
    if (graph.find_state(ir::shadow_name(weight)) == nullptr)  // a program that computes in f32
      graph.add_state({ir::shadow_name(weight), {DType::bf16, shape}, ir::StateRole::shadow});
    graph.add_state({ir::remainder_name(weight), {DType::u16, shape}, ir::StateRole::remainder});
  }
  SplitMasters pass(graph, settings);
  for (size_t r = 0; r < graph.regions().size(); ++r) pass.run_region(static_cast<int>(r));
  return fmt::format("{} weights in two halves, {} of them joined whole", settings.shadows.size(), pass.joins());
}

}  // namespace ringmaster::passes
