// SPDX-License-Identifier: Apache-2.0
// node: collectives inside a node, over memory that its ranks share (node_memory.h). Nothing is sent: each rank reads its peers' segments.
//
//   P ranks of the node, N bytes in each segment            a rank reads of its peers        a rank writes
//   reduce_scatter  chunk r of segment r becomes the sum    (P - 1)/P N                      N/P
//   all_gather      every chunk goes to `out` of all ranks  (P - 1)/P N                      N
//   all_reduce      the one, then the other                 2 (P - 1)/P N                    N/P + N
//
// Over the node that is (3P - 1) N through memory for an all_reduce, and no fewer do; a ring over copies moves 7 (P - 1) N.
// Jin et al. 2021 (XHC), Jain et al. 2018 (doi:10.1109/SC.2018.00034) for the idea of direct reads.
//
// Order of addition: ((x[0] + x[1]) + x[2]) + ..., by node rank. A chunk is handed on in blocks, as they are finished.
#pragma once
#include "comm/collective.h"
#include "comm/in_flight.h"
#include "comm/node_memory.h"

namespace ringmaster::comm {

// `elements` at `offset` of every rank's segment; `bounds` says what is whose.
struct NodeVector {
  std::string_view name;  // for errors, and checked to be the same on all ranks
  DType dtype = DType::f32;
  int64_t offset = 0;    // bytes, a multiple of 64
  int64_t elements = 0;  // the same on all ranks of the node
  // Node rank r's own chunk is [bounds[r], bounds[r + 1]); empty: chunk_of(elements, r, node size). The same on all ranks; they must
  // outlive the collective.
  std::span<const int64_t> bounds = {};
};
Chunk node_chunk(const NodeVector& vector, int node_rank, int node_size);

class NodeCollective final : public InFlight {
 public:
  static constexpr std::byte* in_place = nullptr;
  // On a channel of its own. `memory` must outlive this.
  explicit NodeCollective(NodeMemory& memory, int channel = 0);

  // Non-blocking; the elements must not be touched until done, by when no peer reads them any more.
  void start_reduce_scatter(const NodeVector& vector, Reduce reduce = Reduce::sum);
  // `out`: `elements` of private memory, or in_place: this rank's segment.
  void start_all_gather(const NodeVector& vector, void* out);
  void start_all_reduce(const NodeVector& vector, void* out, Reduce reduce = Reduce::sum);

  bool progress() override;
  Waiting waiting() const override;

 private:
  void start(Operation operation, const NodeVector& vector, void* out, Reduce reduce);
  bool hear_calls();
  bool reduce_block();
  bool gather_blocks();
  bool await_peers();
  bool reduces() const { return operation_ != Operation::all_gather; }
  bool gathers() const { return operation_ != Operation::reduce_scatter; }
  NodeMemory::Channel& channel(int node_rank) const { return memory_.channel(node_rank, number_); }
  Chunk block(int node_rank, int64_t index) const;  // of its chunk, in elements; empty behind the last
  std::byte* at(int node_rank, int64_t element) const;

  NodeMemory& memory_;
  int number_;
  Operation operation_ = Operation::all_reduce;
  NodeVector vector_;
  std::string name_;
  Reduce reduce_ = Reduce::sum;
  std::byte* out_ = nullptr;
  int64_t element_bytes_ = 4;
  Header header_;
  uint64_t call_ = 0;              // of this channel, from 1
  int heard_ = 0;                  // node ranks whose call was found to be the same
  int64_t reduced_ = 0;            // blocks of the own chunk
  std::vector<int64_t> gathered_;  // blocks, by node rank
  bool left_ = false;
  int64_t bytes_read_ = 0;
  std::chrono::steady_clock::time_point moved_{};
};

// What a rank of the node reads of its peers' segments.
int64_t node_bytes_read(Operation operation, const NodeVector& vector, int node_rank, int node_size);

}  // namespace ringmaster::comm
