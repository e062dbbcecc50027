// SPDX-License-Identifier: Apache-2.0
// print: the IR as text, one node a line; parse.cpp reads it back. Only attributes that differ from the default are shown.
//   %5 f32[4,2] recompute 1 = gelu(%4)  @mlp           a value that is not saved for backward
//   %9 f32[4,2] = gelu(%4)  @mlp again                 a node that makes it anew there
#include "core/error.h"
#include "ir/graph.h"

namespace ringmaster::ir {
namespace {

const char* keyword(RegionKind kind) { return kind == RegionKind::step ? "step" : "for grain"; }

std::string print_node(const Graph& graph, const Node& node) {
  std::vector<std::string> outs, ins;
  for (const ValueId v : node.outputs) {
    const int recompute = graph.value(v).recompute;
    outs.push_back(
        fmt::format("%{} {}{}", v, str(graph.type(v)), recompute == 0 ? "" : fmt::format(" recompute {}", recompute)));
  }
  for (const ValueId v : node.inputs) ins.push_back(fmt::format("%{}", v));
  std::string line = "  ";
  if (!outs.empty()) line += fmt::format("{} = ", fmt::join(outs, ", "));
  line += fmt::format("{}({})", node.op->name, fmt::join(ins, ", "));
  for (const AttrSpec& spec : node.op->attrs) {
    const AttrValue* value = node.attrs.find(spec.name);
    if (!spec.required && *value == spec.initial) continue;
    line += fmt::format(" {}={}", spec.name, str(*value));
  }
  if (!node.scope.empty()) line += "  @" + node.scope;
  if (node.again) line += " again";
  return line + "\n";
}

}  // namespace

const char* name(StateRole role) {
  switch (role) {
    case StateRole::weight: return "weight";
    case StateRole::optimizer: return "optimizer";
    case StateRole::average: return "average";
    case StateRole::cache: return "cache";
    case StateRole::shadow: return "shadow";
    case StateRole::remainder: return "remainder";
    case StateRole::control: return "control";
  }
  return "weight";
}

std::string print(const Graph& graph) {
  std::string out = "program " + graph.name() + "\n";
  for (const State& state : graph.states()) {
    out += fmt::format("state {} {} {}\n", name(state.role), str(state.type), str(AttrValue(state.name)));
  }
  for (const Region& region : graph.regions()) {
    out += std::string(keyword(region.kind)) + "\n";
    for (const NodeId id : region.nodes)
      if (!graph.node(id).dead) out += print_node(graph, graph.node(id));
  }
  return out;
}

}  // namespace ringmaster::ir
