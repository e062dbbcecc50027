// SPDX-License-Identifier: Apache-2.0
// filled: how high the memory above a floor is occupied without a gap, for each position of a program. What is to live at some
// positions can lie no lower than the highest of them, which spares place the search below.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace ringmaster::passes {

// A segment tree of maxima. Raises only ever concern the highest positions of a range, so one pending raise a node is enough.
class Filled {
 public:
  Filled(int64_t positions, int64_t floor) {
    while (leaves_ < positions) leaves_ *= 2;
    nodes_.assign(static_cast<size_t>(2 * leaves_), {.height = floor});
  }

  // the highest of positions first..last
  int64_t highest(int64_t first, int64_t last) { return highest(1, 0, leaves_ - 1, first, last); }

  // [offset, end) is taken at positions first..last; offset >= highest(first, last). Those filled up to offset are filled to end.
  void take(int64_t first, int64_t last, int64_t offset, int64_t end) {
    take(1, 0, leaves_ - 1, {first, last, offset, end});
  }

 private:
  struct Node {
    int64_t height;     // the highest position below
    int64_t from = -1;  // pending: what stood at `from` below stands at `height`; -1: nothing
  };
  struct Piece {
    int64_t first, last, offset, end;
  };

  static void raise(Node& node, int64_t to) {
    if (node.from < 0) node.from = node.height;
    node.height = to;
  }
  void push_down(size_t node) {
    const int64_t from = nodes_[node].from;
    if (from < 0) return;
    for (const size_t child : {2 * node, 2 * node + 1})
      if (nodes_[child].height == from) raise(nodes_[child], nodes_[node].height);
    nodes_[node].from = -1;
  }

  int64_t highest(size_t node, int64_t low, int64_t high, int64_t first, int64_t last) {
    if (first <= low && high <= last) return nodes_[node].height;
    push_down(node);
    const int64_t middle = (low + high) / 2;
    int64_t found = 0;
    if (first <= middle) found = highest(2 * node, low, middle, first, last);
    if (last > middle) found = std::max(found, highest(2 * node + 1, middle + 1, high, first, last));
    return found;
  }
  void take(size_t node, int64_t low, int64_t high, const Piece& piece) {
    if (piece.first <= low && high <= piece.last) {
      if (nodes_[node].height == piece.offset) raise(nodes_[node], piece.end);
      return;
    }
    push_down(node);
    const int64_t middle = (low + high) / 2;
    if (piece.first <= middle) take(2 * node, low, middle, piece);
    if (piece.last > middle) take(2 * node + 1, middle + 1, high, piece);
    nodes_[node].height = std::max(nodes_[2 * node].height, nodes_[2 * node + 1].height);
  }

  int64_t leaves_ = 1;
  std::vector<Node> nodes_;  // node n has the children 2n and 2n + 1
};

}  // namespace ringmaster::passes
