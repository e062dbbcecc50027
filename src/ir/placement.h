// SPDX-License-Identifier: Apache-2.0
// placement: where each value of a program lies in the arena. Offsets are bytes from the arena's start, multiples of 64.
// Layout: [states of the run][scalars][workspace][communication][everything with a lifetime]; where the ranks of a node share memory
// [states that they divide][what its collectives sum up][other states][scalars]..., the first two in whole pages.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace ringmaster::ir {

inline constexpr int64_t arena_alignment = 64;
inline int64_t align_up(int64_t bytes) { return (bytes + arena_alignment - 1) / arena_alignment * arena_alignment; }

// Persistent tensors come first and at the same place in every program of a run.
struct StateLayout {
  std::map<std::string, int64_t> offset;
  int64_t weight_bytes = 0;  // what the products read: shadows, and weights that have none
  int64_t master_bytes = 0;  // weights that have a shadow, or what they have beyond it
  int64_t optimizer_bytes = 0;
  int64_t shared_bytes = 0;  // [0, shared_bytes): one for all ranks of the node
  int64_t exchange_bytes =
      0;  // behind them: of each rank, read by the others; 0: nothing is shared, buckets have lifetimes
  int64_t end = 0;
};
// In the given order; a weight with a remainder has no place. `exchange_bytes`: of the largest program (exchanged_bytes).
StateLayout lay_out(const std::vector<State>& states, int64_t exchange_bytes = 0);

// ---- buckets: what a collective moves lies in one piece, its inputs one behind the other, each on a line of 64 bytes
std::vector<int64_t> bucket_offsets(const Graph& graph, const Node& collective);  // bytes, by input; then the whole
int64_t exchanged_bytes(const Graph& graph);                                      // of all its buckets

// What a buffer is for (`plan --json`, by_category).
enum class Category { weights, master, optimizer, gradients, activations, workspace, communication, batches };
const char* name(Category category);

// A stretch of the arena with one lifetime; several values may share it one after the other or as views.
struct Buffer {
  int64_t offset = 0;
  int64_t bytes = 0;
  int64_t first = 0, last = 0;  // positions in the program's node order in which its contents matter
  Category category = Category::activations;
  ValueId value = none;  // the first value that lives here, for reports
};

struct Place {
  int32_t buffer = -1;
  int64_t offset = 0;        // bytes from the arena's start
  int64_t grain_stride = 0;  // batch inputs hold all grains of the rank
};

struct Placement {
  std::vector<Place> values;  // by value id; buffer -1 = never stored
  std::vector<Buffer> buffers;
  std::map<std::string, int64_t> scalars;  // offset of each runtime scalar
  int64_t workspace = 0;                   // scratch of the kernel under way
  int64_t communication = 0;               // scratch of the collective under way
  int64_t peak_bytes = 0;                  // end of the highest buffer
};

// The position at which most bytes matter, the first of several, and how many they are.
struct Fullest {
  int64_t position = 0, bytes = 0;
};
Fullest fullest(const std::vector<Buffer>& buffers);

// What matters there, by category; it adds up to peak_bytes (what lifetimes leave unused counts as activations).
std::map<Category, int64_t> by_category(const Placement& placement, const StateLayout& states);

}  // namespace ringmaster::ir
