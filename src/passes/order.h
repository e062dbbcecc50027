// SPDX-License-Identifier: Apache-2.0
// order: where the nodes of a region stand and what runs between two of them, for passes that join nodes: the joined node stands at
// the place of one, so the other moves. What it shows is the order at its making.
#pragma once
#include <algorithm>
#include <vector>

#include "core/error.h"
#include "ir/graph.h"

namespace ringmaster::passes {

class Order {
 public:
  static constexpr int64_t nowhere = -1;

  Order(const ir::Graph& graph, int region) : place_(static_cast<size_t>(graph.num_nodes()), nowhere) {
    for (const ir::NodeId id : graph.regions()[static_cast<size_t>(region)].nodes) {
      const ir::Traits& traits = graph.node(id).op->traits;
      place_[static_cast<size_t>(id)] = static_cast<int64_t>(products_.size());
      products_.push_back(count(products_) + (traits.cost == ir::CostClass::compute ? 1 : 0));
      writes_.push_back(count(writes_) + (traits.role == ir::Role::state_write ? 1 : 0));
    }
  }

  int64_t place(ir::NodeId id) const { return place_[static_cast<size_t>(id)]; }  // nowhere: in another region

  // A node that moves over a product keeps its operands, or its result, in memory meanwhile.
  bool product_between(ir::NodeId a, ir::NodeId b) const { return between(products_, a, b); }
  // A node that moves over the write of a state may read what is new there.
  bool write_between(ir::NodeId a, ir::NodeId b) const { return between(writes_, a, b); }

 private:
  static int64_t count(const std::vector<int64_t>& so_far) { return so_far.empty() ? 0 : so_far.back(); }
  // b, the later one, is none of them itself
  bool between(const std::vector<int64_t>& so_far, ir::NodeId a, ir::NodeId b) const {
    CHECK(place(a) != nowhere && place(b) != nowhere, "nodes {} and {} stand in two regions", a, b);
    return so_far[static_cast<size_t>(place(a))] != so_far[static_cast<size_t>(place(b))];
  }

  std::vector<int64_t> place_;              // by node
  std::vector<int64_t> products_, writes_;  // by place: how many up to it
};

}  // namespace ringmaster::passes
