// SPDX-License-Identifier: Apache-2.0
// autocast: gives every node of the grains its precision, by the cast class of its op.   Micikevicius et al. 2018, arXiv:1710.03740
//   low_precision   reads the dtype of precision.compute; a result that only f32 readers want leaves unrounded (f32_out)
//   f32             reads f32; a sum of 16-bit values is one of f32 without a cast
//   follow          16 bits where all it reads has 16 bits, else f32
// A weight that products read has a shadow in that dtype, so that it is cast once an update and not once a grain.
//   before   %w f32 = state_read() name="w" ; %y f32 = matmul(%x, %w)              state_write(%v) name="w"
//   after    %w bf16 = state_read() name="w.shadow" ; %c bf16 = cast(%x) ; %y bf16 = matmul(%c, %w)
//            state_write(%v) name="w" ; %s bf16 = cast(%v) ; state_write(%s) name="w.shadow"
#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::CastClass;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::Tensor;
using ir::ValueId;

bool is_narrow(DType dtype) { return is_float(dtype) && dtype != DType::f32; }

class Autocast {
 public:
  Autocast(Graph& graph, const Settings& settings) : graph_(graph), settings_(settings), builder_(graph) {}

  void run_grain(int region) {
    builder_.enter_region(region);
    std::vector<NodeId>& nodes = graph_.regions()[static_cast<size_t>(region)].nodes;
    for (const NodeId id : std::exchange(nodes, {})) {
      convert(id);
      graph_.regions()[static_cast<size_t>(region)].nodes.push_back(id);
    }
    const auto users = graph_.users();
    for (const auto& [narrow, wide] : widened_)
      if (users[static_cast<size_t>(narrow)].size() == 1) leave_unrounded(graph_.value(narrow).producer);
  }

  // Whoever writes a weight writes its shadow.
  void run_step(int region) {
    builder_.enter_region(region);
    for (const NodeId id : std::vector(graph_.regions()[static_cast<size_t>(region)].nodes)) {
      const Node node = graph_.node(id);
      if (node.op->traits.role != Role::state_write || !has_shadow(node.attrs.text("name"))) continue;
      const ir::ScopeGuard scope(builder_, node.scope);
      ops::state_write(ops::cast(Tensor(&builder_, node.inputs[0]), settings_.compute),
                       ir::shadow_name(node.attrs.text("name")));
    }
  }

  int64_t narrow_nodes() const { return narrow_nodes_; }
  int64_t casts() const { return casts_; }

 private:
  bool has_shadow(const std::string& weight) const {
    return std::ranges::find(settings_.shadows, weight) != settings_.shadows.end();
  }

  void convert(NodeId id) {
    const ir::OpDef& op = *graph_.node(id).op;
    const std::vector<ValueId> inputs = graph_.node(id).inputs;
    const auto any = [&](auto&& test) {
      return std::ranges::any_of(inputs, [&](ValueId v) { return test(graph_.type(v).dtype); });
    };
    const bool reads_narrow = any(is_narrow), reads_f32 = any([](DType d) { return d == DType::f32; });
    CastClass cast = op.traits.role == Role::compute ? op.traits.cast : CastClass::f32;
    if (cast == CastClass::follow && reads_narrow && reads_f32) cast = CastClass::f32;
    const bool sums = cast == CastClass::f32 && op.traits.f32_out && reads_narrow && !reads_f32;
    if (sums) graph_.node(id).attrs.set("f32_out", true);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const DType dtype = graph_.type(inputs[i]).dtype;
      ValueId v = inputs[i];
      const bool wide = i < 32 && (op.traits.f32_inputs >> i & 1U) != 0;
      if (cast == CastClass::low_precision && dtype == DType::f32 && !wide && !stays_wide(v)) v = narrowed(v);
      if (cast == CastClass::f32 && is_narrow(dtype) && !sums) v = widened(v);
      graph_.node(id).inputs[i] = v;
    }
    graph_.retype(id);
    narrow_nodes_ += cast == CastClass::low_precision ? 1 : 0;
  }

  // What an op of 16 bits gives in f32, as attention its log-sums, its gradient takes so. The op stands before, converted.
  bool stays_wide(ValueId v) const {
    const ir::Traits& traits = graph_.producer(v).op->traits;
    return traits.role == Role::compute && traits.cast == CastClass::low_precision;
  }

  static bool is_view(const Node& node) {
    return node.op->view != nullptr && node.op->traits.cast == CastClass::follow && node.inputs.size() == 1 &&
           node.outputs.size() == 1;
  }

  ValueId narrowed(ValueId v) {
    const auto [it, is_new] = narrowed_.emplace(v, ir::none);
    if (!is_new) return it->second;
    const Node source = graph_.producer(v);
    const ir::ScopeGuard scope(builder_, source.scope);
    if (source.op->traits.role == Role::state_read && has_shadow(source.attrs.text("name")))
      return it->second = ops::state_read(builder_, ir::shadow_name(source.attrs.text("name"))).id();
    if (is_view(source)) {  // one cast serves a value and its views
      const Tensor viewed(&builder_, narrowed(source.inputs[0]));
      return narrowed_[v] = builder_.emit1(*source.op, {viewed}, source.attrs).id();
    }
    ++casts_;
    return it->second = ops::cast(Tensor(&builder_, v), settings_.compute).id();
  }

  ValueId widened(ValueId v) {
    const auto [it, is_new] = widened_.emplace(v, ir::none);
    if (!is_new) return it->second;
    const ir::ScopeGuard scope(builder_, graph_.producer(v).scope);
    ++casts_;
    return it->second = ops::cast(Tensor(&builder_, v), DType::f32).id();
  }

  // A product whose only reader is its cast to f32 gives f32 itself; canonicalise drops the cast.
  void leave_unrounded(NodeId id) {
    if (!graph_.node(id).op->traits.f32_out) return;
    graph_.node(id).attrs.set("f32_out", true);
    graph_.retype(id);
    --casts_;
  }

  Graph& graph_;
  const Settings& settings_;
  ir::Builder builder_;
  std::map<ValueId, ValueId> narrowed_, widened_;
  int64_t narrow_nodes_ = 0, casts_ = 0;
};

}  // namespace

std::vector<std::string> weights_of_products(const Graph& graph) {
  std::vector<std::string> names;
  for (const ir::Region& region : graph.regions()) {
    for (const NodeId id : region.nodes) {
      const Node& node = graph.node(id);
      if (node.op->traits.cast != CastClass::low_precision) continue;
      for (const ValueId v : node.inputs) {
        const Node& source = graph.producer(v);
        if (source.op->traits.role != Role::state_read) continue;
        const std::string& name = source.attrs.text("name");
        const ir::State* state = graph.find_state(name);
        if (state->role == ir::StateRole::weight && std::ranges::find(names, name) == names.end())
          names.push_back(name);
      }
    }
  }
  return names;
}

std::string autocast(Graph& graph, const Settings& settings) {
  if (settings.compute == DType::f32) return "everything in f32";
  for (const std::string& weight : settings.shadows) {
    const ir::State* state = graph.find_state(weight);
    CHECK(state != nullptr, "{} has no state {}", graph.name(), weight);
    graph.add_state({ir::shadow_name(weight), {settings.compute, state->type.shape}, ir::StateRole::shadow});
  }
  Autocast pass(graph, settings);
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const bool grain = graph.regions()[r].kind == ir::RegionKind::for_grain;
    if (grain)
      pass.run_grain(static_cast<int>(r));
    else if (!settings.split)  // the update of a split weight gives its shadow
      pass.run_step(static_cast<int>(r));
  }
  return fmt::format("{} nodes in {}, {} casts a grain", pass.narrow_nodes(), name(settings.compute), pass.casts());
}

}  // namespace ringmaster::passes
