// SPDX-License-Identifier: Apache-2.0
// shard: data parallelism as nodes, the same on every rank. Each rank runs its run of grains; what leaves a grain region is summed over
// the ranks before anybody reads it. What has a slot for each grain (grain_gather, magnitudes) or block (square_sums) holds this
// rank's and zeros elsewhere, so its sum is exact; and so are sums of integers.
//   before   for grain: %g = grain_sum(%d)       step: use(%g)
//   after    for grain: %g = grain_sum(%d)       step: %r = all_reduce(%g) bucket=0 ; use(%r)
// Ranks that share the memory of a node divide what reads a gradient: each sums up, and updates, its part of the parameters
// (partition.cpp). A part is whole blocks of a norm, so the norm has the same bits however many ranks divide it.
//   after    step: %r = reduce_scatter(%g) bounds=.. ; %s = square_sums(%r) ; %t = all_reduce(%s) within_node=true ; use(%r) ; barrier()
#include <algorithm>

#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::NodeId;
using ir::Tensor;
using ir::ValueId;

class Shard {
 public:
  Shard(ir::Graph& graph, const Settings& settings) : graph_(graph), settings_(settings), builder_(graph) {}

  void run() {
    const size_t regions = graph_.regions().size();
    for (size_t r = 0; r + 1 < regions; ++r)
      if (graph_.regions()[r].kind == ir::RegionKind::for_grain) exchange_exits(r);
    for (size_t r = 0; divides() && r < regions; ++r)
      if (graph_.regions()[r].kind == ir::RegionKind::step) complete(static_cast<int>(r));
  }

  int64_t buckets() const { return buckets_; }
  int64_t bytes() const { return bytes_; }
  int64_t divided_bytes() const { return divided_bytes_; }

 private:
  bool divides() const { return settings_.node_ranks > 1; }

  void exchange_exits(size_t region) {
    const auto users = graph_.users();
    std::vector<Tensor> whole, divided;
    for (const NodeId id : graph_.regions()[region].nodes) {
      const ir::Role role = graph_.node(id).op->traits.role;
      if (!ir::is_grain_exit(role)) continue;
      for (const ValueId v : graph_.node(id).outputs) {
        const bool by_parts =
            divides() && role == ir::Role::grain_sum && is_read_by_parts(users[static_cast<size_t>(v)]);
        (by_parts ? divided : whole).emplace_back(&builder_, v);
      }
    }
    const int next = static_cast<int>(region) + 1;
    if (!divided.empty()) {
      CHECK(graph_.regions()[region + 1].kind == ir::RegionKind::step, "a grain region is followed by another one");
      builder_.enter_region(next, 0);
      builder_.set_scope("gradients");
      const std::vector<Tensor> parts = ops::reduce_scatter(divided, buckets_++, bounds_of(divided));
      exchange(divided, parts);
      divided_bytes_ += bytes_of(divided);
    }
    if (!whole.empty()) {
      CHECK(graph_.regions()[region + 1].kind == ir::RegionKind::step, "a grain region is followed by another one");
      builder_.enter_region(next, 0);
      builder_.set_scope("all_reduce");
      exchange(whole, ops::all_reduce(whole, buckets_++));
    }
  }

  bool is_read_by_parts(const std::vector<NodeId>& readers) const {
    return !readers.empty() && std::ranges::all_of(readers, [&](NodeId id) {
      const ir::Traits& traits = graph_.node(id).op->traits;
      return traits.by_parts || traits.sums_blocks;
    });
  }

  // Who read what left the grains reads what the collective gives instead.
  void exchange(const std::vector<Tensor>& from, const std::vector<Tensor>& to) {
    const NodeId collective = graph_.value(to.front().id()).producer;
    for (size_t i = 0; i < from.size(); ++i) {
      graph_.replace_uses(from[i].id(), to[i].id());
      graph_.node(collective).inputs[i] = from[i].id();  // but for the collective itself
    }
    bytes_ += bytes_of(from);
  }

  static int64_t bytes_of(const std::vector<Tensor>& tensors) {
    int64_t bytes = 0;
    for (const Tensor& t : tensors) bytes += t.type().bytes();
    return bytes;
  }

  // Where each rank's part of a bucket begins, in its elements: about as many for each, in whole blocks.
  std::vector<int64_t> bounds_of(const std::vector<Tensor>& tensors) const {
    constexpr int64_t line = ir::arena_alignment / 4;  // elements
    int64_t all = 0;
    for (const Tensor& t : tensors) all += t.shape().elements();
    std::vector<int64_t> bounds{0};
    int64_t offset = 0, before = 0;  // of the tensor in the bucket; elements before it
    for (const Tensor& t : tensors) {
      const int64_t n = t.shape().elements();
      for (int64_t block = 0; block < ops::norm_blocks(n); ++block) {
        const int64_t begin = block * ops::norm_block, length = std::min(ops::norm_block, n - begin);
        while (std::ssize(bounds) < settings_.node_ranks) {
          const int64_t cut = all * std::ssize(bounds) / settings_.node_ranks;
          if (before + begin + length / 2 < cut) break;
          bounds.push_back(offset + begin);
        }
      }
      offset += (n + line - 1) / line * line;
      before += n;
    }
    while (std::ssize(bounds) <= settings_.node_ranks) bounds.push_back(offset);
    return bounds;
  }

  // The sums of blocks that all ranks of the node have made, and an end of the step before which nobody reads what it wrote.
  void complete(int region) {
    bool writes = false;
    for (const NodeId id : std::vector(graph_.regions()[static_cast<size_t>(region)].nodes)) {
      const ir::Role role = graph_.node(id).op->traits.role;
      writes = writes || role == ir::Role::state_write;
      if (!graph_.node(id).op->traits.sums_blocks) continue;
      const std::vector<NodeId>& nodes = graph_.regions()[static_cast<size_t>(region)].nodes;
      builder_.enter_region(region, std::ranges::find(nodes, id) - nodes.begin() + 1);
      builder_.set_scope(graph_.node(id).scope);
      const std::vector<Tensor> mine{Tensor(&builder_, graph_.node(id).outputs[0])};
      exchange(mine, ops::all_reduce(mine, buckets_++, true));
    }
    if (!writes) return;
    builder_.enter_region(region);
    builder_.set_scope("node");
    ops::barrier(builder_);
  }

  ir::Graph& graph_;
  const Settings& settings_;
  ir::Builder builder_;
  int64_t buckets_ = 0, bytes_ = 0, divided_bytes_ = 0;
};

}  // namespace

std::string shard(ir::Graph& graph, const Settings& settings) {
  if (settings.ranks == 1) return "one rank: nothing to exchange";
  Shard pass(graph, settings);
  pass.run();
  return fmt::format("{} buckets, {} bytes over {} ranks, {} of them divided by the {} of a node", pass.buckets(),
                     pass.bytes(), settings.ranks, pass.divided_bytes(), settings.node_ranks);
}

}  // namespace ringmaster::passes
