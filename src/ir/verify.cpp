// SPDX-License-Identifier: Apache-2.0
// verify: the rules that every pass must leave intact; a broken one is our bug and names the pass.
#include <set>

#include "core/error.h"
#include "ir/graph.h"

namespace ringmaster::ir {
namespace {

void check_state(const Graph& graph, const Node& node, std::string_view after) {
  const Role role = node.op->traits.role;
  if (role != Role::state_read && role != Role::state_write) return;
  const State* state = graph.find_state(node.attrs.text("name"));
  CHECK(state != nullptr, "after {}: {} names no state: {}", after, node.op->name, node.attrs.text("name"));
  const Type& type = role == Role::state_read ? graph.type(node.outputs[0]) : graph.type(node.inputs[0]);
  if (const int64_t begin = role == Role::state_write ? node.attrs.integer("begin") : -1; begin >= 0) {
    CHECK(type.dtype == state->type.dtype && begin + type.shape.elements() <= state->type.shape.elements(),
          "after {}: {} from element {} on is written to {}, {}", after, str(type), begin, state->name,
          str(state->type));
    return;
  }
  CHECK(type == state->type, "after {}: {} of {} has {}, the state is {}", after, node.op->name, state->name, str(type),
        str(state->type));
}

// What is added to a sum over the grains where it is made has no memory of its own that another reader could read.
void check_sums(const Graph& graph, std::string_view after) {
  const auto users = graph.users();
  for (const Region& region : graph.regions()) {
    for (const NodeId id : region.nodes) {
      const Node& node = graph.node(id);
      const int sums = node.op->traits.sums;
      if (node.dead || sums < 0 || node.attrs.text("into_sum").empty()) continue;
      const auto& readers = users[static_cast<size_t>(node.outputs[static_cast<size_t>(sums)])];
      CHECK(readers.size() == 1 && graph.node(readers.front()).op->traits.role == Role::grain_sum,
            "after {}: {} at {} is added to a sum over the grains, and {} nodes read it", after, node.op->name,
            node.scope, readers.size());
    }
  }
}

}  // namespace

void verify(const Graph& graph, std::string_view after) {
  check_sums(graph, after);
  // region in which a value becomes visible; none = not yet defined
  std::vector<int> defined(static_cast<size_t>(graph.num_values()), none);
  std::set<std::string> written;  // states whose new value is stored: reading them again would be ambiguous
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    const Region& region = graph.regions()[r];
    for (const NodeId id : region.nodes) {
      const Node& node = graph.node(id);
      if (node.dead) continue;
      CHECK(node.region == static_cast<int>(r), "after {}: {} at {} stands in the list of another region", after,
            node.op->name, node.scope);
      for (const ValueId v : node.inputs) {
        const int home = defined[static_cast<size_t>(v)];
        CHECK(home != none, "after {}: %{} is used by {} at {} before it is defined", after, v, node.op->name,
              node.scope);
        const bool leaves =
            graph.regions()[static_cast<size_t>(home)].kind == RegionKind::for_grain && home != static_cast<int>(r);
        const bool exit = is_grain_exit(graph.producer(v).op->traits.role);
        CHECK(!leaves || exit, "after {}: {} at {} uses %{} of a grain, which only a grain exit may leave", after,
              node.op->name, node.scope, v);
        CHECK(leaves || !exit || home != static_cast<int>(r), "after {}: {} at {} uses %{} before all grains have run",
              after, node.op->name, node.scope, v);
      }
      const std::vector<Type> in = graph.input_types(node);
      const std::vector<Type> out = graph.output_types(node);
      const std::vector<Type> inferred = node.op->infer({node.attrs, in, {}});
      CHECK(inferred == out, "after {}: {} at {} has other types than its inputs give", after, node.op->name,
            node.scope);
      if (is_grain_exit(node.op->traits.role)) {
        CHECK(region.kind == RegionKind::for_grain, "after {}: {} stands outside of a grain region", after,
              node.op->name);
      }
      check_state(graph, node, after);
      if (node.op->traits.role == Role::state_write) written.insert(node.attrs.text("name"));
      CHECK(node.op->traits.role != Role::state_read || !written.contains(node.attrs.text("name")),
            "after {}: state {} is read after it was written", after, node.attrs.text("name"));
      for (const ValueId v : node.outputs) {
        CHECK(defined[static_cast<size_t>(v)] == none, "after {}: %{} is defined twice", after, v);
        defined[static_cast<size_t>(v)] = static_cast<int>(r);
      }
    }
  }
}

}  // namespace ringmaster::ir
