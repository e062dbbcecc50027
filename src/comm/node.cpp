// SPDX-License-Identifier: Apache-2.0
#include "comm/node.h"

#include <emmintrin.h>
#include <algorithm>
#include <cstring>

#include "comm/reduce.h"

namespace ringmaster::comm {
namespace {

constexpr int64_t block_bytes =
    256 << 10;  // what one progress() does at most of a kind; fits a level 2 cache with its peers'
constexpr int64_t tile_bytes = 8 << 10;      // added up in the level 1 cache
constexpr int64_t streamed_bytes = 1 << 20;  // results from here on go past the caches: nobody reads them soon

int64_t length(Chunk chunk) { return chunk.end - chunk.begin; }

void copy_past_caches(std::byte* to, const std::byte* from, int64_t bytes) {
  const auto ragged = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) % 16);
  const int64_t head = std::min(bytes, ragged);
  std::memcpy(to, from, static_cast<size_t>(head));
  int64_t i = head;
  for (; i + 16 <= bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  std::memcpy(to + i, from + i, static_cast<size_t>(bytes - i));
  _mm_sfence();
}

}  // namespace

Chunk node_chunk(const NodeVector& vector, int node_rank, int node_size) {
  if (vector.bounds.empty()) return chunk_of(vector.elements, node_rank, node_size);
  const auto r = static_cast<size_t>(node_rank);
  return {vector.bounds[r], vector.bounds[r + 1]};
}

int64_t node_bytes_read(Operation operation, const NodeVector& vector, int node_rank, int node_size) {
  const int64_t own = length(node_chunk(vector, node_rank, node_size));
  const int64_t reduced = operation == Operation::all_gather ? 0 : (node_size - 1) * own;
  const int64_t gathered = operation == Operation::reduce_scatter ? 0 : vector.elements - own;
  return (reduced + gathered) * size_of(vector.dtype);
}

NodeCollective::NodeCollective(NodeMemory& memory, int channel)
    : InFlight(memory.comm()),
      memory_(memory),
      number_(channel),
      call_(memory.channel(memory.comm().node_rank(), channel).called.load(std::memory_order_relaxed)),
      gathered_(static_cast<size_t>(memory.comm().node_size())) {}

void NodeCollective::start_reduce_scatter(const NodeVector& vector, Reduce reduce) {
  start(Operation::reduce_scatter, vector, in_place, reduce);
}
void NodeCollective::start_all_gather(const NodeVector& vector, void* out) {
  start(Operation::all_gather, vector, out, Reduce::sum);
}
void NodeCollective::start_all_reduce(const NodeVector& vector, void* out, Reduce reduce) {
  start(Operation::all_reduce, vector, out, reduce);
}

void NodeCollective::start(Operation operation, const NodeVector& vector, void* out, Reduce reduce) {
  CHECK(done(), "{} `{}` is still in flight", name(operation_), name_);
  element_bytes_ = size_of(vector.dtype);
  CHECK(vector.offset % 64 == 0 && vector.elements >= 0 &&
            vector.offset + vector.elements * element_bytes_ <= memory_.bytes(),
        "`{}`: {} elements at {} of {} bytes", vector.name, vector.elements, vector.offset, memory_.bytes());
  CHECK(operation == Operation::all_gather || reducible(vector.dtype), "{} of {}", name(operation), name(vector.dtype));
  CHECK(vector.bounds.empty() || (std::ssize(vector.bounds) == comm().node_size() + 1 && vector.bounds.front() == 0 &&
                                  vector.bounds.back() == vector.elements && std::ranges::is_sorted(vector.bounds)),
        "`{}`: bounds {} of {} elements on {} ranks", vector.name, fmt::join(vector.bounds, " "), vector.elements,
        comm().node_size());
  operation_ = operation;
  vector_ = vector;
  name_ = vector.name;
  reduce_ = reduce;
  out_ = out == in_place ? at(comm().node_rank(), 0) : static_cast<std::byte*>(out);
  header_ = make_header(name_);
  header_.sequence = comm().next_sequence();
  header_.elements = vector.elements;
  header_.operation = operation;
  header_.dtype = vector.dtype;
  header_.reduce = reduce;
  for (const int64_t bound : vector.bounds)  // who owns what is agreed too
    header_.ranks_hash = (header_.ranks_hash ^ static_cast<uint64_t>(bound)) * 0x100000001b3U;
  heard_ = 0;
  reduced_ = bytes_read_ = 0;
  std::ranges::fill(gathered_, 0);
  left_ = false;
  moved_ = std::chrono::steady_clock::now();
  NodeMemory::Channel& mine = channel(comm().node_rank());
  static_assert(sizeof header_ <= sizeof mine.header);
  std::memcpy(mine.header.data(), &header_, sizeof header_);
  mine.called.store(++call_, std::memory_order_release);
  enter();
  progress();
}

std::byte* NodeCollective::at(int node_rank, int64_t element) const {
  return memory_.of(node_rank).data() + vector_.offset + element * element_bytes_;
}

Chunk NodeCollective::block(int node_rank, int64_t index) const {
  const Chunk chunk = node_chunk(vector_, node_rank, comm().node_size());
  const int64_t size = block_bytes / element_bytes_;
  const int64_t begin = std::min(chunk.end, chunk.begin + index * size);
  return {begin, std::min(chunk.end, begin + size)};
}

// Every rank of the node called the same: from here on their segments may be read.
bool NodeCollective::hear_calls() {
  bool moved = false;
  for (; heard_ < comm().node_size(); ++heard_) {
    const NodeMemory::Channel& theirs = channel(heard_);
    if (theirs.called.load(std::memory_order_acquire) < call_) return moved;
    Header header;
    std::memcpy(&header, theirs.header.data(), sizeof header);
    check_same_call(header_, comm().rank(), header, comm().node()[static_cast<size_t>(heard_)]);
    moved = true;
  }
  return moved;
}

// The next block of this rank's chunk becomes the sum over the node.
bool NodeCollective::reduce_block() {
  const int me = comm().node_rank(), size = comm().node_size();
  const Chunk all = block(me, reduced_);
  if (!reduces() || length(all) == 0) return false;
  alignas(64) std::byte sum[tile_bytes];
  for (int64_t begin = all.begin; begin < all.end; begin += tile_bytes / element_bytes_) {
    const int64_t bytes = std::min<int64_t>(tile_bytes, (all.end - begin) * element_bytes_);
    const auto tile = [&](int rank) { return Bytes{at(rank, begin), static_cast<size_t>(bytes)}; };
    const Bytes result{sum, static_cast<size_t>(bytes)};
    std::memcpy(sum, tile(0).data(), static_cast<size_t>(bytes));
    for (int rank = 1; rank < size; ++rank) reduce_into(result, tile(rank), vector_.dtype, reduce_);
    std::memcpy(tile(me).data(), sum, static_cast<size_t>(bytes));
  }
  const int64_t bytes = (size - 1) * length(all) * element_bytes_;
  bytes_read_ += bytes;
  comm().traffic_.read += bytes;
  ++reduced_;
  channel(me).reduced.store((call_ << 32) | static_cast<uint64_t>(reduced_), std::memory_order_release);
  return true;
}

// From each rank of the node the next block, where it has one.
bool NodeCollective::gather_blocks() {
  if (!gathers()) return false;
  bool moved = false;
  const int me = comm().node_rank(), size = comm().node_size();
  for (int k = 0; k < size; ++k) {
    const int rank = (me + k) % size;  // all read another one's memory
    int64_t& next = gathered_[static_cast<size_t>(rank)];
    const Chunk part = block(rank, next);
    if (length(part) == 0) continue;
    const uint64_t said = channel(rank).reduced.load(std::memory_order_acquire);
    const bool ready = !reduces() || ((said >> 32) == call_ && next < static_cast<int64_t>(said & 0xffffffffU));
    if (!ready) continue;
    const int64_t bytes = length(part) * element_bytes_;
    // In place nobody reads what is overwritten: its reader has just said that it holds the sum.
    std::byte* const to = out_ + part.begin * element_bytes_;
    const std::byte* const from = at(rank, part.begin);
    if (to != from && vector_.elements * element_bytes_ >= streamed_bytes)
      copy_past_caches(to, from, bytes);
    else if (to != from)
      std::memcpy(to, from, static_cast<size_t>(bytes));
    if (rank != me) {
      bytes_read_ += bytes;
      comm().traffic_.read += bytes;
    }
    ++next;
    moved = true;
  }
  return moved;
}

bool NodeCollective::await_peers() {
  const int me = comm().node_rank(), size = comm().node_size();
  if (!left_) {
    if (reduces() && length(block(me, reduced_)) > 0) return false;
    for (int rank = 0; gathers() && rank < size; ++rank)
      if (length(block(rank, gathered_[static_cast<size_t>(rank)])) > 0) return false;
    left_ = true;
    channel(me).left.store(call_, std::memory_order_release);
  }
  for (int rank = 0; rank < size; ++rank)
    if (channel(rank).left.load(std::memory_order_acquire) < call_) return false;
  leave();
  return true;
}

bool NodeCollective::progress() {
  if (done()) return false;
  bool moved = heard_ < comm().node_size() && hear_calls();
  if (heard_ == comm().node_size()) {
    moved |= reduce_block();
    moved |= gather_blocks();
    moved |= await_peers();
  }
  if (moved) moved_ = std::chrono::steady_clock::now();
  return moved;
}

Waiting NodeCollective::waiting() const {
  const int me = comm().node_rank(), size = comm().node_size();
  int late = heard_;
  if (heard_ == size) {
    late = (me + 1) % size;
    for (int rank = size - 1; rank >= 0; --rank)
      if (channel(rank).left.load(std::memory_order_acquire) < call_ && rank != me) late = rank;
  }
  return {.operation = operation_,
          .name = name_,
          .sequence = header_.sequence,
          .rank = comm().rank(),
          .peer = comm().node()[static_cast<size_t>(late)],
          .bytes_done = bytes_read_,
          .bytes_total = node_bytes_read(operation_, vector_, me, size),
          .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - moved_).count()};
}

}  // namespace ringmaster::comm
