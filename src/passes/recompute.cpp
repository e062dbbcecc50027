// SPDX-License-Identifier: Apache-2.0
// recompute: obeys the tags on forward values (gradient checkpointing; Chen et al. 2016, arXiv:1604.06174). A node of backward that
// reads a value which is not at hand gets, right in front of it, clones of the forward nodes that make it, from what is.
//   before   %y recompute 1 = f(%x) ; %z = g(%y) ; .. ; %d = g_grad(%e, %y)
//   after    %y recompute 1 = f(%x) ; %z = g(%y) ; .. ; %w = f(%x) again ; %d = g_grad(%e, %w)
// A value tagged n stays at hand from its (n + 1)th making on until its last reader; one that was made to make another is gone
// before. So a list of numbers says every nested schedule. Views are taken anew each time. A norm that adds first starts from its
// sum where that is at hand:
//   before   %y recompute 1, .., %s = layer_norm(%a, %g, %h, %b)        after   %w, .. = layer_norm(%s, %g, %h) again
// Whole fused nodes are cloned and random ops are functions of their counter: no bit changes.
// Needs: the order of nodes is that of the run, but for grain exits and leaves.
#include "passes/recompute.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "passes/forward.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

class Replay {
 public:
  Replay(Graph& graph, const Forward& forward) : graph_(graph), forward_(forward) {
    const auto values = static_cast<size_t>(graph.num_values());
    copy_.resize(values);
    view_of_.resize(values);
    for (size_t v = 0; v < values; ++v) {
      const int32_t i = forward_.index(static_cast<ValueId>(v));
      copy_[v] = static_cast<ValueId>(v);
      if (i == Forward::nothing) continue;
      view_of_[v] = base(static_cast<ValueId>(v));
    }
    at_hand_.reserve(forward_.values().size());
    for (const Saveable& s : forward_.values()) {
      made_.push_back(1);
      at_hand_.push_back(tag(s) == 0 ? s.value : ir::none);
    }
  }

  std::vector<Remade> run() {
    const std::vector<NodeId> before = graph_.regions()[static_cast<size_t>(forward_.region())].nodes;
    for (const NodeId id : before) {
      if (!forward_.has(id)) bring(id);
      after_.push_back(id);
    }
    graph_.reorder(forward_.region(), after_);
    return std::move(cloned_);
  }

 private:
  int tag(const Saveable& s) const { return graph_.value(s.value).recompute; }
  const Saveable& saveable(ValueId v) const { return forward_.values()[static_cast<size_t>(forward_.index(v))]; }
  ValueId base(ValueId v) const { return saveable(v).value; }
  ValueId& hand(ValueId v) { return at_hand_[static_cast<size_t>(forward_.index(v))]; }

  // Is what `v` stands for in memory?
  bool ready(ValueId v) {
    if (forward_.index(v) == Forward::nothing) return true;
    const ValueId now = hand(v);
    if (now == ir::none) return false;
    return v == base(v) || view_of_[static_cast<size_t>(v)] == now;
  }
  ValueId now(ValueId v) {
    if (forward_.index(v) == Forward::nothing) return v;
    return v == base(v) ? hand(v) : copy_[static_cast<size_t>(v)];
  }

  // Makes whatever the node reads, and lets it read that.
  void bring(NodeId id) {
    const int64_t at = forward_.place(id);
    std::set<int64_t> places;  // of nodes to clone
    std::vector<ValueId> open;
    for (const ValueId v : graph_.node(id).inputs)
      if (!still_there(v, at)) open.push_back(v);
    collect(open, places);
    const std::vector<NodeId>& list = graph_.regions()[static_cast<size_t>(forward_.region())].nodes;
    std::vector<NodeId> nodes;
    for (const int64_t place : places) nodes.push_back(list[static_cast<size_t>(place)]);
    for (const NodeId node : nodes) clone(node);
    for (ValueId& v : graph_.node(id).inputs) {
      if (still_there(v, at)) continue;
      v = now(v);
      CHECK(v != ir::none, "recompute: a value that backward reads was not made");
    }
    for (const int32_t i : gone_behind_) at_hand_[static_cast<size_t>(i)] = ir::none;
    gone_behind_.clear();
  }

  // A reader that stands among forward finds what forward made still there.
  bool still_there(ValueId v, int64_t at) const {
    return forward_.index(v) == Forward::nothing || at <= saveable(v).last_use;
  }

  // The nodes that make `open`, down to what is at hand.
  void collect(std::vector<ValueId> open, std::set<int64_t>& places) {
    while (!open.empty()) {
      const ValueId v = open.back();
      open.pop_back();
      if (ready(v)) continue;
      const NodeId maker = graph_.value(v).producer;
      const Node& node = graph_.node(maker);
      if (!places.insert(forward_.place(maker)).second) continue;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const bool of_the_sum = adds_first(node) && (i == 0 || i + 1 == node.inputs.size());
        if (!of_the_sum || !ready(node.outputs.back())) open.push_back(node.inputs[i]);
      }
    }
  }

  void clone(NodeId original) {
    const Node node = graph_.node(original);  // a copy: adding nodes moves them
    CHECK(!runs_once(node), "recompute: {} at {} may not run again", node.op->name, node.scope);
    std::vector<ValueId> inputs = node.inputs;
    const bool from_sum = adds_first(node) && ready(node.outputs.back());
    if (from_sum) {
      inputs[0] = node.outputs.back();
      inputs.pop_back();
    }
    for (ValueId& v : inputs) {
      CHECK(ready(v), "recompute: {} at {} reads %{}, which is not at hand", node.op->name, node.scope, v);
      v = now(v);
    }
    const NodeId made = graph_.add_clone(original, std::move(inputs), std::ssize(node.outputs) - (from_sum ? 1 : 0));
    graph_.node(made).again = true;
    after_.push_back(made);
    const std::vector<ValueId>& outputs = graph_.node(made).outputs;
    const bool view = forward_.is_view(original);
    if (!view) cloned_.push_back({made, original, from_sum});
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ValueId v = node.outputs[i];
      if (view) {
        copy_[static_cast<size_t>(v)] = outputs[i];
        view_of_[static_cast<size_t>(v)] = hand(v);
      } else {
        take(v, outputs[i]);
      }
    }
  }

  void take(ValueId v, ValueId made) {
    const int32_t i = forward_.index(v);
    CHECK(i != Forward::nothing, "recompute: the maker of the gradient %{} may not run again", v);
    if (at_hand_[static_cast<size_t>(i)] != ir::none) return;  // a by-product that was saved
    const int made_before = made_[static_cast<size_t>(i)]++;
    at_hand_[static_cast<size_t>(i)] = made;
    if (made_before < tag(saveable(v))) gone_behind_.push_back(i);
  }

  Graph& graph_;
  const Forward& forward_;
  std::vector<ValueId> copy_;         // by value, of views: the newest
  std::vector<ValueId> view_of_;      // and what it was taken of
  std::vector<int> made_;             // by index in forward: how often
  std::vector<ValueId> at_hand_;      // and what is in memory now; none: nothing
  std::vector<int32_t> gone_behind_;  // what goes behind the node under way
  std::vector<NodeId> after_;
  std::vector<Remade> cloned_;
};

}  // namespace

std::vector<Remade> remake(Graph& graph, const Forward& forward) { return Replay(graph, forward).run(); }

std::string recompute(Graph& graph, const Settings&) {
  size_t cloned = 0;
  for (size_t r = 0; r < graph.regions().size(); ++r)
    if (graph.regions()[r].kind == ir::RegionKind::for_grain)
      cloned += remake(graph, Forward(graph, static_cast<int>(r))).size();
  return fmt::format("{} nodes run again in backward", cloned);
}

}  // namespace ringmaster::passes
