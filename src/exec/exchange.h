// SPDX-License-Identifier: Apache-2.0
// exchange: a collective node (ops/collectives.cpp) on this rank. Where ranks of a node share memory it has two levels: each sums up its
// chunk of the buckets of its node by reading them; the owners of a chunk on all nodes, a lane, sum that up by messages; and the
// node's ranks copy what they want whole.
//                    node (reads)       lane (messages)            node (reads)
//   all_reduce       reduce_scatter     all_reduce of own chunk    all_gather       on one node: all_reduce in one go
//   reduce_scatter   by its bounds      all_reduce of own chunk
//   barrier          all_gather of 0 elements
// Without shared memory the lane is all ranks and the chunk is the bucket.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/collective.h"
#include "exec/fabric.h"
#include "ir/placement.h"

namespace ringmaster::exec {

// What one run moves. Foretold by plans, done by Exchange.
struct Exchanged {
  comm::Sent sent;
  int64_t read = 0;  // bytes of peers' memory
  Exchanged& operator+=(const Exchanged& more) {
    sent.bytes += more.sent.bytes;
    sent.messages += more.sent.messages;
    read += more.read;
    return *this;
  }
};
Exchanged exchanged(const ir::Graph& graph, const ir::Node& node, const Team& team);
Exchanged exchanged(const ir::Graph& graph, const Team& team);                    // of one run of a program
std::string how(const ir::Graph& graph, const ir::Node& node, const Team& team);  // "node and ring", for people
int64_t exchange_scratch_bytes(const ir::Graph& graph, const ir::Node& node, const Team& team);

class Exchange {
 public:
  // `data`: where its bucket lies in the arena at `offset`.
  Exchange(const ir::Graph& graph, const ir::Node& node, Fabric& fabric, std::byte* data, int64_t offset,
           std::span<std::byte> scratch);
  void run();  // blocks

 private:
  Fabric& fabric_;
  std::string name_;
  comm::Operation operation_;
  bool across_;  // takes messages
  DType dtype_;
  std::byte* data_;
  int64_t elements_, in_segment_;
  std::vector<int64_t> bounds_;
  comm::Chunk own_;
  std::vector<std::pair<std::byte*, int64_t>> gaps_;  // padding inside the bucket, which is summed up too
  std::span<std::byte> scratch_;
  comm::Collective lane_;
};

}  // namespace ringmaster::exec
