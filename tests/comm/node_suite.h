// SPDX-License-Identifier: Apache-2.0
// node_suite: what collectives over the memory of a node must do, as one body that thread ranks and MPI ranks both run.
#pragma once
#include "comm/node.h"
#include "reference.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>

namespace ringmaster::comm::suite {

// All ranks' values added one after the other, from rank 0 on.
template <typename T> std::vector<T> sums_in_rank_order(int size, int64_t elements, Reduce reduce) {
  std::vector<T> sums = values_of<T>(0, elements);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<T> theirs = values_of<T>(rank, elements);
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] = reduce == Reduce::sum ? sums[i] + theirs[i] : std::max(sums[i], theirs[i]);
  }
  return sums;
}

template <typename T> bool same_bits(const T* a, const T* b, int64_t elements) {
  return elements == 0 || std::memcmp(a, b, static_cast<size_t>(elements) * sizeof(T)) == 0;
}

template <typename T> void node_reduces(NodeMemory& memory, int64_t elements, Reduce reduce) {
  Communicator& comm = memory.comm();
  const int me = comm.node_rank(), size = comm.node_size();
  const std::vector<T> mine = values_of<T>(me, elements), want = sums_in_rank_order<T>(size, elements, reduce);
  const NodeVector vector{.name = "suite.node", .dtype = dtype_of<T>::value, .offset = 64, .elements = elements};
  auto* segment = reinterpret_cast<T*>(memory.mine().data() + vector.offset);
  const auto bring = [&] { std::copy(mine.begin(), mine.end(), segment); };
  auto read = [&, before = comm.traffic().read](Operation operation) mutable {
    const int64_t bytes = comm.traffic().read - before;
    before = comm.traffic().read;
    require(bytes == node_bytes_read(operation, vector, me, size),
            fmt::format("{} read {} bytes", name(operation), bytes));
  };
  NodeCollective collective(memory);
  bring();
  std::vector<T> out(static_cast<size_t>(elements) + 1, T(7));
  collective.start_all_reduce(vector, out.data(), reduce);
  collective.wait();
  read(Operation::all_reduce);
  require(same_bits(out.data(), want.data(), elements), fmt::format("all_reduce of {} differs", elements));
  require(out.back() == T(7), "all_reduce writes behind its end");

  bring();
  collective.start_reduce_scatter(vector, reduce);
  collective.wait();
  read(Operation::reduce_scatter);
  const Chunk own = chunk_of(elements, me, size);
  require(same_bits(segment + own.begin, want.data() + own.begin, own.end - own.begin), "reduce_scatter differs");
  require(same_bits(segment, mine.data(), own.begin), "reduce_scatter changed what is not its own");

  std::ranges::fill(out, T(7));
  collective.start_all_gather(vector, out.data());
  collective.wait();
  read(Operation::all_gather);
  require(same_bits(out.data(), want.data(), elements) && out.back() == T(7), "all_gather differs");
}

// Chunks as somebody else wants them, the first rank's empty; the result where the operand was.
template <typename T> void node_reduces_in_place(NodeMemory& memory, int64_t elements) {
  Communicator& comm = memory.comm();
  const int me = comm.node_rank(), size = comm.node_size();
  std::vector<int64_t> bounds{0};
  for (int r = 1; r < size; ++r)
    bounds.push_back(static_cast<int64_t>(mixed(static_cast<uint64_t>(elements * 9 + r)) % (elements + 1)));
  bounds.push_back(elements);
  std::ranges::sort(bounds);
  const std::vector<T> mine = values_of<T>(me, elements), want = sums_in_rank_order<T>(size, elements, Reduce::sum);
  const NodeVector vector{
      .name = "suite.in_place", .dtype = dtype_of<T>::value, .offset = 0, .elements = elements, .bounds = bounds};
  auto* segment = reinterpret_cast<T*>(memory.mine().data());
  NodeCollective collective(memory);
  std::copy(mine.begin(), mine.end(), segment);
  collective.start_reduce_scatter(vector);
  collective.wait();
  const Chunk own = node_chunk(vector, me, size);
  require(same_bits(segment + own.begin, want.data() + own.begin, own.end - own.begin), "a chunk by bounds differs");
  require(same_bits(segment + own.end, mine.data() + own.end, elements - own.end), "another chunk has changed");
  std::copy(mine.begin(), mine.end(), segment);
  const int64_t before = comm.traffic().read;
  collective.start_all_reduce(vector, NodeCollective::in_place);
  collective.wait();
  require(same_bits(segment, want.data(), elements), fmt::format("all_reduce of {} in place differs", elements));
  require(comm.traffic().read - before == node_bytes_read(Operation::all_reduce, vector, me, size), "bytes read");
}

// What all ranks write, each its part; and segments at addresses that were chosen before.
inline void node_has_in_common(Communicator& comm) {
  constexpr int64_t page = 4096, each = 100;
  void* const range = ::mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(range != MAP_FAILED, "mmap");
  auto* const at = static_cast<std::byte*>(range);
  {
    const int64_t bytes = each * comm.node_size();
    require(bytes <= page, "too many ranks");
    NodeMemory memory(comm, "suite.common",
                      {.bytes = 100, .mine_at = at + page, .common_bytes = bytes, .common_at = at});
    require(memory.mine().data() == at + page && memory.common().data() == at, "not where it was meant to be");
    const int me = comm.node_rank();
    std::memset(memory.common().data() + me * each, me + 1, each);
    barrier(comm, "suite.common");
    for (int64_t i = 0; i < bytes; ++i)
      require(memory.common()[static_cast<size_t>(i)] == static_cast<std::byte>(i / each + 1), "common bytes differ");
    barrier(comm, "suite.common");
  }
  ::munmap(range, 3 * page);
}

// One call behind the other without a pause, of other sizes and data each time: nobody may read what the next one brings.
inline void node_hurries(NodeMemory& memory) {
  Communicator& comm = memory.comm();
  NodeCollective collective(memory);
  for (int round = 0; round < 200; ++round) {
    const auto elements = static_cast<int64_t>(mixed(static_cast<uint64_t>(round)) % 5000);
    auto* segment = reinterpret_cast<int32_t*>(memory.mine().data());
    for (int64_t i = 0; i < elements; ++i) segment[i] = static_cast<int32_t>(i) * round + comm.node_rank();
    std::vector<int32_t> out(static_cast<size_t>(elements));
    collective.start_all_reduce({.name = "suite.hurry", .dtype = DType::i32, .elements = elements}, out.data());
    collective.wait();
    const int size = comm.node_size();
    for (int64_t i = 0; i < elements; ++i)
      require(out[static_cast<size_t>(i)] == static_cast<int32_t>(i) * round * size + size * (size - 1) / 2,
              "a hurried all_reduce differs");
  }
}

// Three in flight, waited for forwards by even ranks and backwards by odd ones, a ring among them.
inline void node_overlaps(Communicator& comm) {
  NodeMemory memory(comm, "suite.channels", {.bytes = 3 * 8192, .channels = 3});
  std::vector<std::unique_ptr<NodeCollective>> collectives;
  std::vector<std::vector<float>> outs;
  for (int i = 0; i < 3; ++i) {
    collectives.push_back(std::make_unique<NodeCollective>(memory, i));
    outs.emplace_back(2000);
    const std::vector<float> mine = values_of<float>(comm.node_rank(), 2000);
    std::memcpy(memory.mine().data() + 8192 * i, mine.data(), 8000);
  }
  std::vector<float> ring = values_of<float>(comm.rank(), 100);
  Collective other(comm);
  start_all_reduce(other, vector_of("suite.ring", std::span(ring)), Reduce::max);
  for (int i = 0; i < 3; ++i)
    collectives[static_cast<size_t>(i)]->start_all_reduce(
        {.name = "suite.overlap", .offset = 8192 * i, .elements = 2000}, outs[static_cast<size_t>(i)].data());
  for (int i = 0; i < 3; ++i) collectives[static_cast<size_t>(comm.rank() % 2 == 0 ? i : 2 - i)]->wait();
  other.wait();
  const std::vector<float> want = sums_in_rank_order<float>(comm.node_size(), 2000, Reduce::sum);
  for (const auto& out : outs) require(same_bits(out.data(), want.data(), 2000), "an overlapped all_reduce differs");
}

inline void run_node(Communicator& comm) {
  NodeMemory memory(comm, "suite.node", {.bytes = 64 + 8 * 300'000});
  const int size = comm.size();
  for (const int64_t elements : std::vector<int64_t>{0, 1, 2, size - 1, size, size + 1, 17, 1003, 300'000}) {
    node_reduces<float>(memory, elements, Reduce::sum);
    node_reduces<float>(memory, elements, Reduce::max);
    node_reduces<int32_t>(memory, elements, Reduce::sum);
    node_reduces<double>(memory, elements, Reduce::sum);
  }
  for (const int64_t elements : {0, 1, 40, 100'000}) {
    node_reduces_in_place<int32_t>(memory, elements);
    node_reduces_in_place<float>(memory, elements);
  }
  node_hurries(memory);
  node_overlaps(comm);
  node_has_in_common(comm);
}

}  // namespace ringmaster::comm::suite
