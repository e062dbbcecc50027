// SPDX-License-Identifier: Apache-2.0
// node_memory: memory that all ranks of a node map. Each brings a segment, which it writes and its peers read; beside these there is
// one that all of them write, each where the others do not. Anonymous (memfd): nothing is left behind however a job ends, and no
// mount limits its size.
#pragma once
#include "comm/comm.h"

#include <atomic>

namespace ringmaster::comm {

// Sizes are the same on every rank of the job; addresses are within a range that the caller has reserved (mmap), multiples of 4096.
struct NodeShape {
  int64_t bytes = 0;               // of each segment
  int channels = 1;                // how many collectives may use it at a time
  std::byte* mine_at = nullptr;    // where this rank maps its own segment; null: anywhere
  int64_t common_bytes = 0;        // of what all ranks write
  std::byte* common_at = nullptr;  // likewise
};

class NodeMemory {
 public:
  // Reserved at once: a machine that lacks the memory says so here (Error, memory) and not by a signal later; and mapped, so that no
  // page is missing later. All ranks of the job call it. Blocks.
  NodeMemory(Communicator& comm, std::string_view name, const NodeShape& shape);
  ~NodeMemory();
  static Sent sent(RingShape shape);  // by its constructor; `shape` says which rank of how many
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;

  Communicator& comm() const { return comm_; }
  int channels() const { return shape_.channels; }
  int64_t bytes() const { return shape_.bytes; }
  Bytes of(int node_rank) const { return {data_[static_cast<size_t>(node_rank)], static_cast<size_t>(shape_.bytes)}; }
  Bytes mine() const { return of(comm_.node_rank()); }
  Bytes common() const { return {common_, static_cast<size_t>(shape_.common_bytes)}; }

  // What a rank says to its peers of the collective on a channel. Each field counts calls, so that nothing is ever reset.
  struct Channel {
    alignas(64) std::atomic<uint64_t> called;   // so many calls were made here; `header` is of the newest
    alignas(64) std::atomic<uint64_t> reduced;  // calls << 32 | blocks of this rank's chunk that hold the result
    alignas(64) std::atomic<uint64_t> left;     // so many calls were left: peers' memory is read no more
    alignas(64) std::array<std::byte, 128> header;
  };
  Channel& channel(int node_rank, int number) const;

 private:
  // A file: [of node rank 0: what is common, at the front as huge pages want it][page with the token][channels][segment]
  int64_t head_at(int node_rank) const;
  int64_t head_bytes() const;
  int64_t file_bytes(int node_rank) const;
  void reserve(int file, std::string_view name) const;
  void map(int file, int node_rank);
  std::byte* map_range(int file, int64_t begin, int64_t bytes, bool writable, std::byte* at) const;

  Communicator& comm_;
  NodeShape shape_;
  std::vector<std::byte*> heads_, data_;  // token and channels, segment; by node rank
  std::byte* common_ = nullptr;
};

}  // namespace ringmaster::comm
