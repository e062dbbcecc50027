// SPDX-License-Identifier: Apache-2.0
// forward: what of a grain region makes the loss, as the passes of gradient checkpointing see it: values that have memory of their
// own, what each is made from, and who reads them in backward. Forward is all that a grain_gather depends on; the rest is backward.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ir/graph.h"

namespace ringmaster::passes {

// A value that a forward node computes into memory of its own; views are seen as the value that they lie in.
struct Saveable {
  ir::ValueId value = ir::none;
  ir::NodeId maker = ir::none;
  // What must be at hand to make it, ascending; leaves (weights, inputs, scalars) always are.
  std::vector<int32_t> from;
  // A norm that adds first makes its other results from that sum alone once the sum is at hand (Traits::adds_before).
  bool behind_sum = false;
  bool fixed = false;          // can not be made again: its maker makes a gradient too, or has no kernel
  std::vector<int64_t> wants;  // the nodes of backward that read it, by place in the region, ascending
  int64_t last_use = -1;       // the last node of forward that reads it
};

class Forward {
 public:
  static constexpr int32_t nothing = -1;

  Forward(const ir::Graph& graph, int region);

  int region() const { return region_; }
  bool has(ir::NodeId id) const { return in_[static_cast<size_t>(id)]; }
  int64_t place(ir::NodeId id) const { return place_[static_cast<size_t>(id)]; }  // in the region; -1: in another one
  const std::vector<Saveable>& values() const { return values_; }  // in the order in which forward makes them
  // The index in values() of what lies in the memory of `v`; nothing: a leaf, a value of backward or of another region.
  int32_t index(ir::ValueId v) const { return index_[static_cast<size_t>(v)]; }
  bool is_view(ir::NodeId id) const { return view_[static_cast<size_t>(id)]; }

 private:
  void find_forward(const ir::Graph& graph);
  void find_values(const ir::Graph& graph);
  void find_wants(const ir::Graph& graph);
  std::vector<int32_t> indices(std::span<const ir::ValueId> inputs) const;  // ascending, each once
  void add(const ir::Graph& graph, ir::NodeId maker, size_t output, std::vector<int32_t> from, bool behind_sum);

  int region_;
  std::vector<bool> in_, view_;  // by node
  std::vector<int64_t> place_;
  std::vector<int32_t> index_;  // by value
  std::vector<bool> gradient_;
  std::vector<Saveable> values_;
};

// Makes its sum in front of its other results: the sum is its last output.
bool adds_first(const ir::Node& node);

// By value: does a sum over the grains alone read it? Then it is a gradient.
std::vector<bool> is_gradient(const ir::Graph& graph);

// Bytes of forward's values that backward reads, or makes others from: what is saved between the two, over all grain regions.
int64_t saved_bytes(const ir::Graph& graph);

// A clone of it would add its gradient twice, or has nothing to run.
bool runs_once(const ir::Node& node);

// Does output 0 lie in the memory of input 0?
bool lies_in_its_input(const ir::Graph& graph, const ir::Node& node);

}  // namespace ringmaster::passes
