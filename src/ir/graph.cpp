// SPDX-License-Identifier: Apache-2.0
#include "ir/graph.h"

#include <algorithm>

#include "core/error.h"

namespace ringmaster::ir {

std::string str(const Type& type) { return fmt::format("{}{}", ringmaster::name(type.dtype), str(type.shape)); }

Attrs complete(const OpDef& op, const Attrs& attrs) {
  Attrs out;
  for (const AttrSpec& spec : op.attrs) {
    const AttrValue* given = attrs.find(spec.name);
    if (given == nullptr && spec.required) {
      throw Error({.kind = ErrorKind::config, .message = fmt::format("attribute `{}` is missing", spec.name)});
    }
    if (given != nullptr && given->index() != spec.initial.index()) {
      throw Error({.kind = ErrorKind::config,
                   .message = fmt::format("attribute `{}` is {}, which has the wrong type", spec.name, str(*given)),
                   .expected = "a value like " + str(spec.initial)});
    }
    out.set(spec.name, given == nullptr ? spec.initial : *given);
  }
  for (const auto& [key, value] : attrs.items()) {
    if (out.find(key) != nullptr) continue;
    std::vector<std::string> names;
    for (const AttrSpec& spec : op.attrs) names.emplace_back(spec.name);
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("unknown attribute `{}`", key),
                 .expected = fmt::format("one of: {}", fmt::join(names, ", "))});
  }
  return out;
}

int Graph::add_region(RegionKind kind) {
  regions_.push_back({kind, {}});
  return static_cast<int>(regions_.size()) - 1;
}

namespace {
// where a node's error is: the op, and the module that built it
std::string place(const OpDef& op, const std::string& scope) {
  return scope.empty() ? op.name : fmt::format("{} at {}", op.name, scope);
}
}  // namespace

std::vector<Type> Graph::infer(Node& node, const Attrs& attrs) const {
  try {
    node.attrs = complete(*node.op, attrs);
    const std::vector<Type> in = input_types(node);
    return node.op->infer({node.attrs, in, {}});
  } catch (const Error& e) {
    ErrorInfo info = e.info();
    if (info.kind == ErrorKind::config) info.message = fmt::format("{}: {}", place(*node.op, node.scope), info.message);
    throw Error(info);
  }
}

NodeId Graph::add_node(int region, const OpDef& op, std::vector<ValueId> inputs, Attrs attrs, std::string scope,
                       int64_t at) {
  const auto count = static_cast<int>(inputs.size());
  if (count < op.min_inputs || (op.max_inputs >= 0 && count > op.max_inputs)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{}: {} inputs given", place(op, scope), count),
                 .expected = op.max_inputs == op.min_inputs ? fmt::format("{}", op.min_inputs)
                             : op.max_inputs < 0            ? fmt::format("{} or more", op.min_inputs)
                                                            : fmt::format("{} to {}", op.min_inputs, op.max_inputs)});
  }
  Node node{.op = &op, .inputs = std::move(inputs), .scope = std::move(scope), .region = region};
  std::vector<Type> types = infer(node, attrs);
  const auto id = static_cast<NodeId>(nodes_.size());
  for (size_t i = 0; i < types.size(); ++i) {
    node.outputs.push_back(static_cast<ValueId>(values_.size()));
    values_.push_back({std::move(types[i]), id, static_cast<int>(i)});
  }
  nodes_.push_back(std::move(node));
  auto& list = regions_[static_cast<size_t>(region)].nodes;
  list.insert(at < 0 ? list.end() : list.begin() + at, id);
  return id;
}

NodeId Graph::add_clone(NodeId of, std::vector<ValueId> inputs, int64_t outputs) {
  const Node& original = node(of);
  Node made{.op = original.op,
            .attrs = original.attrs,
            .inputs = std::move(inputs),
            .scope = original.scope,
            .region = original.region};
  const auto id = static_cast<NodeId>(nodes_.size());
  const size_t count = outputs < 0 ? original.outputs.size() : static_cast<size_t>(outputs);
  for (size_t i = 0; i < count; ++i) {
    made.outputs.push_back(static_cast<ValueId>(values_.size()));
    values_.push_back({type(original.outputs[i]), id, static_cast<int>(i)});
  }
  regions_[static_cast<size_t>(made.region)].nodes.push_back(id);
  nodes_.push_back(std::move(made));
  return id;
}

void Graph::add_state(State state) {
  CHECK(find_state(state.name) == nullptr, "state {} exists", state.name);
  states_.push_back(std::move(state));
}

const State* Graph::find_state(std::string_view name) const {
  const auto it = std::find_if(states_.begin(), states_.end(), [&](const State& s) { return s.name == name; });
  return it == states_.end() ? nullptr : &*it;
}

int64_t Graph::live_nodes() const {
  return std::count_if(nodes_.begin(), nodes_.end(), [](const Node& n) { return !n.dead; });
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& node : nodes_) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
}

void Graph::retype(NodeId id) {
  Node& changed = node(id);
  const std::vector<Type> types = infer(changed, changed.attrs);
  for (size_t i = 0; i < types.size(); ++i) values_[static_cast<size_t>(changed.outputs[i])].type = types[i];
}

void Graph::remove(NodeId id) { node(id).dead = true; }

void Graph::compact() {
  for (Region& region : regions_) std::erase_if(region.nodes, [&](NodeId id) { return node(id).dead; });
}

std::string kernel_key(const Node& node, const std::vector<Type>& in) {
  std::string key = node.op->name;
  for (const auto& [name, value] : node.attrs.items()) key += fmt::format(" {}={}", name, str(value));
  for (const Type& type : in) key += " " + str(type);
  return key;
}

std::vector<Type> Graph::input_types(const Node& node) const {
  std::vector<Type> types;
  types.reserve(node.inputs.size());
  for (const ValueId v : node.inputs) types.push_back(type(v));
  return types;
}

std::vector<Type> Graph::output_types(const Node& node) const {
  std::vector<Type> types;
  types.reserve(node.outputs.size());
  for (const ValueId v : node.outputs) types.push_back(type(v));
  return types;
}

std::vector<std::vector<NodeId>> Graph::users() const {
  std::vector<std::vector<NodeId>> users(values_.size());
  for (const Region& region : regions_) {
    for (const NodeId id : region.nodes) {
      if (node(id).dead) continue;
      for (const ValueId v : node(id).inputs) users[static_cast<size_t>(v)].push_back(id);
    }
  }
  return users;
}

}  // namespace ringmaster::ir
