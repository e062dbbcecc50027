// SPDX-License-Identifier: Apache-2.0
// graph: a program in SSA form. A program is a list of regions; a region is a list of nodes in execution order; a node
// defines values. After Frostig et al. 2018 and JAX's autodidax in spirit: small structs, a verifier, a printer.
//   program ::= region*        region ::= ("step" | "for grain") node*        node ::= values = op(values) attrs @scope
// A value of a `for grain` region is seen outside only if its op is a grain exit (grain_sum, grain_gather).
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "ir/op.h"

namespace ringmaster::ir {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t none = -1;

enum class RegionKind { step, for_grain };

struct Value {
  Type type;
  NodeId producer = none;
  int index = 0;  // which output of the producer
  // How often backward makes it anew before it stays in memory until its last use there (gradient checkpointing): it stays from its
  // (recompute + 1)th making on. 0: what forward made is saved. Set by `tag`, obeyed by `recompute` (passes/).
  int recompute = 0;
};

struct Node {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string scope;  // module path that built it: "gpt.block.3.attention.qkv"
  int region = 0;
  bool again = false;  // makes anew what forward made: a clone of one of its nodes
  bool dead = false;   // removed; ids stay stable
};

struct Region {
  RegionKind kind = RegionKind::step;
  std::vector<NodeId> nodes;
};

// What a persistent tensor is for; decides its file in a checkpoint and its category in the plan. A cache is in no checkpoint: the
// program that declares it rebuilds it. Nor is a shadow: a weight in the dtype of the products, written whenever the weight is; nor
// a remainder: what a weight has beyond its shadow. A weight that has one lies in no memory of its own (core/halves.h). A control
// steers the numerics (a loss scale, the maxima of gradients): every rank works it out alike; it is saved with the optimizer's.
enum class StateRole { weight, optimizer, average, cache, shadow, remainder, control };
const char* name(StateRole role);  // "weight", ...: as print() writes it
inline bool is_saved(StateRole role) {
  return role == StateRole::weight || role == StateRole::optimizer || role == StateRole::average ||
         role == StateRole::control;
}
// The ranks of a node keep one, of which each writes its part; of the others each rank keeps its own.
inline bool is_divided(StateRole role) { return role != StateRole::cache && role != StateRole::control; }

// A tensor that outlives a program run: weights, optimizer moments. Its name is its name on disk.
struct State {
  std::string name;
  Type type;
  StateRole role = StateRole::weight;
};
inline std::string shadow_name(std::string_view weight) { return std::string(weight) + ".shadow"; }
inline std::string remainder_name(std::string_view weight) { return std::string(weight) + ".remainder"; }

class Graph {
 public:
  explicit Graph(std::string name = "program") : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  int add_region(RegionKind kind);  // returns its index; regions run in this order
  // Checks arity and attributes, fills attribute defaults, infers types; throws Error (config) "<op> at <scope>: ...".
  // Inserts before position `at` of the region (default: at its end).
  NodeId add_node(int region, const OpDef& op, std::vector<ValueId> inputs, Attrs attrs, std::string scope,
                  int64_t at = -1);
  // The node once more, behind its region's last, with other inputs of the same types; of its outputs the first `outputs` (-1: all).
  NodeId add_clone(NodeId of, std::vector<ValueId> inputs, int64_t outputs = -1);
  void add_state(State state);
  const State* find_state(std::string_view name) const;

  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  Node& node(NodeId id) { return nodes_[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const Type& type(ValueId id) const { return value(id).type; }
  const Node& producer(ValueId id) const { return node(value(id).producer); }
  const std::vector<Region>& regions() const { return regions_; }
  std::vector<Region>& regions() { return regions_; }
  const std::vector<State>& states() const { return states_; }
  int64_t num_values() const { return static_cast<int64_t>(values_.size()); }
  int64_t num_nodes() const { return static_cast<int64_t>(nodes_.size()); }
  int64_t live_nodes() const;

  void replace_uses(ValueId from, ValueId to);  // one sweep over the nodes
  void retype(NodeId id);                       // infers its outputs anew, after its inputs or attributes changed
  void remove(NodeId id);                       // the node must have no users left
  void set_recompute(ValueId v, int times) { values_[static_cast<size_t>(v)].recompute = times; }
  void reorder(int region, std::vector<NodeId> nodes) {
    regions_[static_cast<size_t>(region)].nodes = std::move(nodes);
  }
  void compact();  // drops removed nodes from the region lists

  // the types of a node's inputs and outputs, for OpView
  std::vector<Type> input_types(const Node& node) const;
  std::vector<Type> output_types(const Node& node) const;
  // users of each value, in execution order
  std::vector<std::vector<NodeId>> users() const;

 private:
  std::vector<Type> infer(Node& node, const Attrs& attrs) const;  // completes its attributes

  std::string name_;
  std::deque<Value> values_;  // not a vector: Tensor::type() hands out references while nodes are added
  std::vector<Node> nodes_;
  std::vector<Region> regions_;
  std::vector<State> states_;
};

// Attributes with the op's defaults filled in, in its order; throws Error (config) on an unknown, missing or mistyped one.
Attrs complete(const OpDef& op, const Attrs& attrs);

// What nodes must have in common to share a kernel, and to take the same time: op, attributes and input types, as a text.
std::string kernel_key(const Node& node, const std::vector<Type>& in);

std::string print(const Graph& graph);
// Reads what print() writes; ops are looked up by `find_op` (ops::find). Throws Error (config) with line and column.
Graph parse(const std::string& text, const OpDef* (*find_op)(std::string_view), const std::string& file = "<ir>");

// Throws ErrorKind::internal naming the pass `after` and the node at the first broken rule: every value is defined once, before
// its uses and visible there; inferred types agree with the stored ones; states exist; only grain exits leave a grain.
void verify(const Graph& graph, std::string_view after);

}  // namespace ringmaster::ir
