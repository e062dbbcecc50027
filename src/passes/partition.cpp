// SPDX-License-Identifier: Apache-2.0
// partition: the part of a step that one rank of a node does (shard.cpp says what is divided). What reads a gradient by parts, an update
// and what follows from it, stays where this rank holds the whole gradient, goes where it holds none, and works on views in between.
// Each state is so written by the ranks together, each its part.
//   before   %r = reduce_scatter(%g) bounds=[0,100,200] ; %v, .. = adam(%w, .., %r) ; state_write(%v) name="w"
//   after    %p = part(%w) begin=100 end=200 ; %q = part(%r) .. ; %v, .. = adam(%p, .., %q) ; state_write(%v) name="w" begin=100
// Surprising: kernels are made once for all tensors of a shape, so only the tensors that a bound cuts have kernels of their own.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::Tensor;
using ir::ValueId;

class Partition {
 public:
  Partition(ir::Graph& graph, int node_rank) : graph_(graph), builder_(graph), rank_(static_cast<size_t>(node_rank)) {}

  void run(int region) {
    builder_.enter_region(region);
    std::vector<NodeId>& nodes = graph_.regions()[static_cast<size_t>(region)].nodes;
    for (const NodeId id : std::exchange(nodes, {})) {
      if (!rewrite(id)) {
        graph_.remove(id);
        continue;
      }
      nodes.push_back(id);
    }
  }

  int64_t elements() const { return elements_; }
  int64_t of() const { return of_; }

 private:
  // Of a tensor of `all` elements this rank has [begin, end). The value has them all (only these are defined), or these alone.
  struct Part {
    int64_t begin = 0, end = 0, all = 0;
    bool empty() const { return begin == end && all > 0; }
    bool whole() const { return begin == 0 && end == all; }
    bool operator==(const Part&) const = default;
  };

  const Part* part_of(ValueId v) const {
    const auto found = parts_.find(v);
    return found == parts_.end() ? nullptr : &found->second;
  }
  // Of the inputs of a node; they agree.
  std::optional<Part> part_of(const Node& node) const {
    std::optional<Part> found;
    for (const ValueId v : node.inputs) {
      const Part* part = part_of(v);
      if (part == nullptr) continue;
      CHECK(!found || *found == *part, "{} at {} reads other parts of its inputs", node.op->name, node.scope);
      found = *part;
    }
    return found;
  }

  // False: the node goes, as another one has taken its place or nothing is left to do.
  bool rewrite(NodeId id) {
    const Node node = graph_.node(id);
    builder_.set_scope(node.scope);
    if (node.op->traits.role == Role::collective) {
      divide(node);
      return true;
    }
    if (node.op->traits.sums_blocks) {
      sum_blocks(node);
      return false;
    }
    const std::optional<Part> part = part_of(node);
    const bool writes = node.op->traits.role == Role::state_write;
    if (!part) {
      const ir::State* state = writes ? graph_.find_state(node.attrs.text("name")) : nullptr;
      CHECK(state == nullptr || !ir::is_divided(state->role),
            "{}, of which a node keeps one, is written by all its ranks", state->name);
      return true;
    }
    CHECK(writes || node.op->traits.by_parts, "{} at {} reads a gradient, which the ranks of a node divide: it can not",
          node.op->name, node.scope);
    for (const ValueId v : node.outputs) parts_[v] = *part;
    if (part->whole() || part->empty()) return part->whole();
    if (writes) {
      ops::state_write(Tensor(&builder_, node.inputs[0]), node.attrs.text("name"), part->begin);
      return false;
    }
    work_on(node, *part);
    return false;
  }

  void divide(const Node& node) {
    if (node.attrs.find("bounds") == nullptr) return;
    const ir::Ints& bounds = node.attrs.ints("bounds");
    const std::vector<int64_t> offsets = ir::bucket_offsets(graph_, node);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const int64_t all = graph_.type(node.outputs[i]).shape.elements(), offset = offsets[i] / 4;
      const int64_t begin = std::clamp<int64_t>(bounds[rank_] - offset, 0, all);
      const int64_t end = std::clamp<int64_t>(bounds[rank_ + 1] - offset, 0, all);
      parts_[node.outputs[i]] = {begin, std::max(begin, end), all};
      elements_ += std::max<int64_t>(0, end - begin);
      of_ += all;
    }
  }

  // The elements of a part as a value of their own, of what has all of them.
  Tensor view(ValueId v, const Part& part) {
    const Tensor x(&builder_, v);
    return x.shape().elements() == part.all ? ops::part(x, part.begin, part.end) : x;
  }

  void work_on(const Node& node, const Part& part) {
    std::vector<Tensor> inputs;
    for (const ValueId v : node.inputs) {
      const bool divided = part_of(v) != nullptr || graph_.type(v).shape.elements() == part.all;
      inputs.push_back(divided ? view(v, part) : Tensor(&builder_, v));
    }
    ir::Attrs attrs = node.attrs;
    if (attrs.find("element") != nullptr) attrs.set("element", part.begin);
    const std::vector<Tensor> outputs = builder_.emit(*node.op, inputs, attrs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      graph_.replace_uses(node.outputs[i], outputs[i].id());
      parts_[outputs[i].id()] = part;
    }
  }

  // The slots of this rank's blocks; of what is whole on every rank they are the first one's.
  void sum_blocks(const Node& node) {
    const size_t tensors =
        graph_.type(node.inputs[0]).dtype == DType::i32 ? node.inputs.size() / 2 : node.inputs.size();
    std::vector<Tensor> xs, grids;
    std::vector<int64_t> firsts;
    int64_t blocks = 0;
    for (size_t i = 0; i < tensors; ++i) {
      const int64_t all = graph_.type(node.inputs[i]).shape.elements();
      const Part* divided = part_of(node.inputs[i]);
      const Part part =
          divided != nullptr ? *divided : Part{0, rank_ == 0 ? all : 0, all};  // whole on every rank: the first
      if (part.begin < part.end) {
        firsts.push_back(blocks + part.begin / ops::norm_block);
        xs.push_back(part.whole() ? Tensor(&builder_, node.inputs[i]) : view(node.inputs[i], part));
        if (tensors < node.inputs.size()) grids.emplace_back(&builder_, node.inputs[tensors + i]);
      }
      blocks += ops::norm_blocks(all);
    }
    if (xs.empty()) {  // of the first tensor, no element
      firsts.push_back(0);
      xs.push_back(ops::part(Tensor(&builder_, node.inputs[0]), 0, 0));
      if (tensors < node.inputs.size()) grids.emplace_back(&builder_, node.inputs[tensors]);
    }
    xs.insert(xs.end(), grids.begin(), grids.end());
    const Tensor sums = builder_.emit(*node.op, xs, {{"firsts", ir::Ints(firsts)}, {"blocks", blocks}}).front();
    graph_.replace_uses(node.outputs[0], sums.id());
  }

  ir::Graph& graph_;
  ir::Builder builder_;
  size_t rank_;
  std::map<ValueId, Part> parts_;
  int64_t elements_ = 0, of_ = 0;
};

// Leaves that nobody reads any more.
void drop_unread(ir::Graph& graph, int region) {
  const auto users = graph.users();
  for (const NodeId id : graph.regions()[static_cast<size_t>(region)].nodes) {
    const Node& node = graph.node(id);
    const bool read =
        std::ranges::any_of(node.outputs, [&](ValueId v) { return !users[static_cast<size_t>(v)].empty(); });
    if (node.op->traits.role == Role::state_read && !read) graph.remove(id);
  }
  graph.compact();
}

}  // namespace

std::string partition(ir::Graph& graph, int node_rank) {
  Partition pass(graph, node_rank);
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    if (graph.regions()[r].kind != ir::RegionKind::step) continue;
    pass.run(static_cast<int>(r));
    drop_unread(graph, static_cast<int>(r));
  }
  ir::verify(graph, "partition");
  return fmt::format("{} of {} elements of gradients", pass.elements(), pass.of());
}

}  // namespace ringmaster::passes
