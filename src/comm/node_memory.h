// SPDX-License-Identifier: Apache-2.0
// node_memory: memory that all ranks of a node map. Each brings a segment, which it writes and its peers read. Anonymous (memfd):
// nothing is left behind however a job ends, and no mount limits its size.
#pragma once
#include "comm/comm.h"

#include <atomic>

namespace ringmaster::comm {

class NodeMemory {
 public:
  // A segment of `bytes`, the same on every rank of the job, reserved at once: a machine that lacks the memory says so here (Error,
  // memory) and not by a signal later. `channels`: how many collectives may use it at a time. All ranks of the job call it. Blocks.
  NodeMemory(Communicator& comm, std::string_view name, int64_t bytes, int channels = 1);
  ~NodeMemory();
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;

  Communicator& comm() const { return comm_; }
  int channels() const { return channels_; }
  int64_t bytes() const { return bytes_; }
  Bytes of(int node_rank) const { return {maps_[static_cast<size_t>(node_rank)] + data_, static_cast<size_t>(bytes_)}; }
  Bytes mine() const { return of(comm_.node_rank()); }

  // What a rank says to its peers of the collective on a channel. Each field counts calls, so that nothing is ever reset.
  struct Channel {
    alignas(64) std::atomic<uint64_t> called;   // so many calls were made here; `header` is of the newest
    alignas(64) std::atomic<uint64_t> reduced;  // calls << 32 | blocks of this rank's chunk that hold the result
    alignas(64) std::atomic<uint64_t> left;     // so many calls were left: peers' memory is read no more
    alignas(64) std::array<std::byte, 128> header;
  };
  Channel& channel(int node_rank, int number) const;

 private:
  void reserve(int file, std::string_view name) const;
  std::byte* map(int file, bool is_mine) const;

  Communicator& comm_;
  int channels_;
  int64_t data_;  // offset of the data in a segment, behind the channels
  int64_t bytes_;
  std::vector<std::byte*> maps_;  // by node rank
};

}  // namespace ringmaster::comm
