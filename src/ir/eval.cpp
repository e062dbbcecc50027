// SPDX-License-Identifier: Apache-2.0
#include "ir/eval.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>

namespace ringmaster::ir {
namespace {

class Evaluator {
 public:
  Evaluator(const Graph& graph, EvalInputs& in)
      : graph_(graph), in_(in), values_(static_cast<size_t>(graph.num_values())) {}

  std::map<std::string, RefTensor> run() {
    for (const Region& region : graph_.regions()) {
      const bool loop = region.kind == RegionKind::for_grain;
      const int64_t rounds = loop ? in_.num_grains : 1;
      for (int64_t g = 0; g < rounds; ++g) {
        RunContext context = in_.context;
        context.grain = g;
        context.num_grains = in_.num_grains;
        context.first_sample += g * in_.grain_size;
        context.first_grain = g == 0;
        for (const NodeId id : region.nodes)
          if (!graph_.node(id).dead) step(graph_.node(id), context);
      }
    }
    return std::move(outputs_);
  }

 private:
  RefTensor& at(ValueId v) { return values_[static_cast<size_t>(v)]; }

  template <typename T> static const T& lookup(const std::map<std::string, T>& map, const Node& node) {
    const auto it = map.find(node.attrs.text("name"));
    CHECK(it != map.end(), "{} {} is not given", node.op->name, node.attrs.text("name"));
    return it->second;
  }

  void step(const Node& node, const RunContext& context) {
    switch (node.op->traits.role) {
      case Role::input: at(node.outputs[0]) = provided_input(node, context); return;
      case Role::scalar: at(node.outputs[0]) = {graph_.type(node.outputs[0]), {lookup(in_.scalars, node)}}; return;
      case Role::state_read: at(node.outputs[0]) = lookup(in_.states, node); return;
      case Role::state_write: write_state(node); return;
      case Role::output: outputs_[node.attrs.text("name")] = at(node.inputs[0]); return;
      case Role::loss_term:
      case Role::collective: copy_through(node); return;  // all grains run here, so a sum over ranks is complete
      case Role::grain_sum: accumulate(node, context); return;
      case Role::grain_gather: gather(node, context); return;
      case Role::gradient: CHECK(false, "gradient of {} was not resolved by autodiff", node.scope); return;
      case Role::compute: compute(node, context); return;
    }
  }

  void write_state(const Node& node) {
    RefTensor& state = in_.states[node.attrs.text("name")];
    const RefTensor& value = at(node.inputs[0]);
    if (node.attrs.integer("begin") < 0)
      state = value;
    else
      std::ranges::copy(value.data, state.data.begin() + node.attrs.integer("begin"));
  }

  void copy_through(const Node& node) {
    for (size_t i = 0; i < node.outputs.size(); ++i) at(node.outputs[i]) = at(node.inputs[i]);
  }

  void accumulate(const Node& node, const RunContext& context) {
    for (size_t i = 0; context.first_grain && i < node.outputs.size(); ++i) {
      const Type& type = graph_.type(node.outputs[i]);
      at(node.outputs[i]) = {type, std::vector<double>(static_cast<size_t>(type.shape.elements()))};
    }
    RefTensor& sum = at(node.outputs[0]);
    if (node.outputs.size() == 1) {
      for (const ValueId v : node.inputs)
        for (size_t i = 0; i < sum.data.size(); ++i) sum.data[i] += at(v).data[i];
      return;
    }
    // in fixed point (ops/grain_sum.cpp): f32 parts are rounded here, i32 ones were, and their magnitude stands behind them
    const double multiplier = at(node.inputs.back()).data[0];
    double& peak = at(node.outputs[1]).data[static_cast<size_t>(context.grain)];
    for (size_t k = 0; k + 1 < node.inputs.size(); ++k) {
      const RefTensor& part = at(node.inputs[k]);
      double largest = 0.0;
      for (size_t i = 0; i < sum.data.size(); ++i) {
        const bool rounded = part.type.dtype == DType::i32;
        sum.data[i] += rounded ? part.data[i] : std::nearbyint(part.data[i] * multiplier);
        if (!(std::abs(part.data[i]) <= largest)) largest = std::abs(part.data[i]);
      }
      peak += part.type.dtype == DType::i32 ? at(node.inputs[++k]).data[0] : largest;
    }
  }

  void gather(const Node& node, const RunContext& context) {
    RefTensor& all = at(node.outputs[0]);
    if (context.first_grain)
      all = {graph_.type(node.outputs[0]), std::vector<double>(static_cast<size_t>(context.num_grains))};
    all.data[static_cast<size_t>(context.grain)] = at(node.inputs[0]).data[0];
  }

  void compute(const Node& node, const RunContext& context) {
    const std::vector<Type> in_types = graph_.input_types(node), out_types = graph_.output_types(node);
    std::vector<RefTensor> ins, outs;
    for (const ValueId v : node.inputs) ins.push_back(at(v));
    for (const Type& t : out_types) outs.push_back({t, std::vector<double>(static_cast<size_t>(t.shape.elements()))});
    CHECK(node.op->reference != nullptr, "{} has no reference", node.op->name);
    node.op->reference({node.attrs, in_types, out_types}, ins, outs, context);
    for (size_t i = 0; i < outs.size(); ++i) at(node.outputs[i]) = std::move(outs[i]);
  }

  const RefTensor& provided_input(const Node& node, const RunContext& context) {
    const auto it = in_.inputs.find(node.attrs.text("name"));
    CHECK(it != in_.inputs.end(), "input {} is not given", node.attrs.text("name"));
    return it->second.at(static_cast<size_t>(context.grain));
  }

  const Graph& graph_;
  EvalInputs& in_;
  std::vector<RefTensor> values_;
  std::map<std::string, RefTensor> outputs_;
};

}  // namespace

std::map<std::string, RefTensor> evaluate(const Graph& graph, EvalInputs& in) { return Evaluator(graph, in).run(); }

}  // namespace ringmaster::ir
