// SPDX-License-Identifier: Apache-2.0
// tree: two binary trees over all ranks, each carrying half of the vector; who is inside the one is a leaf of the other, so that
// all links work both ways.   Sanders, Speck, Traff 2009, "Two-tree algorithms for full bandwidth broadcast, reduction and scan",
// doi:10.1016/j.parco.2009.09.001
//
// Vertex 0 is the top of both trees and has one child; the others stand in order, which is what makes the tree a formula: the parity
// of a vertex says whether it is a leaf. In the second tree all but the top move on by one, which changes their parity. Messages are
// pipelined by segments.
//
//   P ranks      steps for a short vector   bytes sent of N
//   all_reduce   2 (1 + floor(log2(P - 1))) at most 2 N a rank, 2 (P - 1) N in all
//   broadcast    1 + floor(log2(P - 1))     at most N + N/2 a rank, (P - 1) N in all
//
// Order of addition: (own + first child) + second child, up to the top, whose sum goes down to all: one result on every rank.
#include "comm/schedule.h"

#include <bit>

namespace ringmaster::comm {
namespace {

struct Vertex {
  int parent = -1, first = -1, second = -1;  // -1: none
};

// In order, vertices 1 to size - 1: a vertex whose lowest bit is b stands b/2 away from its children and b from its parent.
Vertex vertex_of(int number, int size) {
  if (number == 0) return {-1, static_cast<int>(std::bit_floor(static_cast<unsigned>(size - 1))), -1};
  const int bit = number & -number;
  const int above = (number ^ bit) | (bit << 1);
  Vertex made{.parent = above < size ? above : number ^ bit};
  if (bit > 1) made.first = number - bit / 2;
  for (int half = bit / 2; half > 0 && made.second < 0; half /= 2)
    if (number + half < size) made.second = number + half;
  return made;
}

// Vertices of the second tree by those of the first (by = 1), and back (-1).
int twin(int number, int size, int by) {
  if (number <= 0) return number;  // the top, or nobody
  return (number - 1 + by + size - 1) % (size - 1) + 1;
}

Vertex place_of(const Call& call, int tree) {
  const int P = call.size, v = (call.index - call.root + P) % P;
  const Vertex at = vertex_of(tree == 0 ? v : twin(v, P, 1), P);
  const auto index = [&](int number) {
    const int back = tree == 0 ? number : twin(number, P, -1);
    return back < 0 ? -1 : (back + call.root) % P;
  };
  return {index(at.parent), index(at.first), index(at.second)};
}

// Flows of one tree, and behind both trees the two of the greeting. broadcast has those that go down.
enum : int { from_first, from_second, to_parent, from_parent, to_first, to_second, flows_of_tree };

Flow flow(const Call& call, int number) {
  const int tree = number / flows_of_tree, kind = number % flows_of_tree;
  if (tree == 2) return greeting(call, kind == 1);
  const Vertex at = place_of(call, tree);
  const bool up = kind <= to_parent;
  Flow made{.sends = kind == to_parent || kind > from_parent,
            .transfers = 1,
            .header = up || call.operation == Operation::broadcast,
            .stream = tree,
            .bank = 2 * tree + (kind == from_second ? 1 : 0)};
  if (up && call.operation == Operation::broadcast) return made;
  made.peer = kind == from_first || kind == to_first     ? at.first
              : kind == from_second || kind == to_second ? at.second
                                                         : at.parent;
  return made;
}

Transfer transfer(const Call& call, int flow, int) {
  const int tree = flow / flows_of_tree, kind = flow % flows_of_tree;
  const Vertex at = place_of(call, tree);
  Transfer made{.range = chunk_of(call.elements, tree, 2), .reduced = kind <= from_second};
  const auto after = [&](int earlier) { made.after[0] = {tree * flows_of_tree + earlier, 0, false}; };
  const bool adds = call.operation == Operation::all_reduce;
  const int last_child = at.second >= 0 ? from_second : from_first;
  if (kind == from_second && at.first >= 0) after(from_first);
  if (kind == to_parent && (at.first >= 0 || at.second >= 0)) after(last_child);
  if (kind == from_parent && adds) after(to_parent);  // the sum arrives where the partial sum was sent from
  if (kind > from_parent && at.parent >= 0) after(from_parent);
  if (kind > from_parent && at.parent < 0 && adds) after(last_child);
  return made;
}

}  // namespace

constinit const Schedule tree_schedule{
    .flows = [](const Call&) { return 2 * flows_of_tree + 2; },
    .flow = flow,
    .transfer = transfer,
    .banks = 4,
    .longest = [](const Call& call) { return ceil_div(call.elements, 2); },
};

}  // namespace ringmaster::comm
