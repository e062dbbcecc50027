// SPDX-License-Identifier: Apache-2.0
// ring_suite: what every communicator must do, as one body that thread ranks and MPI ranks both run.
#pragma once
#include "comm/collective.h"
#include "comm/comm.h"
#include "reference.h"

namespace ringmaster::comm::suite {

inline Sent difference(const Sent& after, const Sent& before) {
  return {after.bytes - before.bytes, after.messages - before.messages};
}

// What rank `rank` must send if it sends all chunks but the one at `kept`, in segments.
inline Sent all_but(const std::vector<int64_t>& lengths, int kept, int64_t element_bytes, int64_t segment_bytes) {
  const int64_t segment = segment_bytes < element_bytes ? 1 : segment_bytes / element_bytes;
  Sent total;
  for (size_t c = 0; c < lengths.size(); ++c) {
    if (static_cast<int>(c) == kept) continue;
    total.bytes += lengths[c] * element_bytes;
    total.messages += (lengths[c] + segment - 1) / segment;
  }
  return total;
}

template <typename T> void reduces(Communicator& comm, int64_t elements, Reduce reduce) {
  const int rank = comm.rank(), size = comm.size();
  const std::vector<int64_t> lengths = chunk_lengths(elements, size);
  const int64_t segment_bytes = comm.options().segment_bytes;
  const RingShape shape{elements, sizeof(T), rank, size, segment_bytes};
  const Sent scattering = all_but(lengths, rank, sizeof(T), segment_bytes);
  const Sent gathering = all_but(lengths, (rank + 1) % size, sizeof(T), segment_bytes);

  std::vector<T> all = values_of<T>(rank, elements);
  Sent before = comm.traffic().payload;
  all_reduce(comm, vector_of("suite.all_reduce", std::span(all)), reduce);
  Sent used = difference(comm.traffic().payload, before);
  require(used == Sent{scattering.bytes + gathering.bytes, scattering.messages + gathering.messages},
          fmt::format("all_reduce of {} sent {} bytes in {} messages", elements, used.bytes, used.messages));
  require(used == all_reduce_sent(shape), "all_reduce_sent predicts something else");
  if (elements % size == 0) {
    require(used.bytes * size == 2 * (size - 1) * elements * static_cast<int64_t>(sizeof(T)),
            "not 2(P-1)/P of the bytes");
  }
  int64_t begin = 0;
  for (int c = 0; c < size; ++c) {
    expect_chunk<T>(all, begin, lengths[static_cast<size_t>(c)], c, size, reduce);
    begin += lengths[static_cast<size_t>(c)];
  }

  // The two halves, with scratch of the caller's.
  std::vector<T> halves = values_of<T>(rank, elements);
  std::vector<std::byte> scratch(static_cast<size_t>(scratch_bytes(shape)));
  before = comm.traffic().payload;
  reduce_scatter(comm, vector_of("suite.reduce_scatter", std::span(halves), scratch), reduce);
  used = difference(comm.traffic().payload, before);
  require(used == scattering && used == reduce_scatter_sent(shape), "reduce_scatter sent other bytes than planned");
  const Chunk own = chunk_of(elements, rank, size);
  require(own.end - own.begin == lengths[static_cast<size_t>(rank)], "chunk_of differs from the chunks by hand");
  expect_chunk<T>(halves, own.begin, own.end - own.begin, rank, size, reduce);

  before = comm.traffic().payload;
  all_gather(comm, vector_of("suite.all_gather", std::span(halves)));
  used = difference(comm.traffic().payload, before);
  require(used == gathering && used == all_gather_sent(shape), "all_gather sent other bytes than planned");
  require(elements == 0 || std::memcmp(all.data(), halves.data(), all.size() * sizeof(T)) == 0,
          "reduce_scatter and all_gather differ from all_reduce");
}

inline void broadcasts(Communicator& comm, int64_t elements) {
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<float> data = values_of<float>(comm.rank(), elements);
    broadcast(comm, vector_of("suite.broadcast", std::span(data)), root);
    require(data == values_of<float>(root, elements), fmt::format("broadcast from {} of {} differs", root, elements));
  }
}

inline void gathers_bytes(Communicator& comm) {
  const auto text = [](int rank) {
    return std::string(static_cast<size_t>(rank * rank), static_cast<char>('a' + rank));
  };
  const std::vector<std::string> all = all_gather_bytes(comm, "suite.bytes", text(comm.rank()));
  require(all.size() == static_cast<size_t>(comm.size()), "all_gather_bytes forgot a rank");
  for (int r = 0; r < comm.size(); ++r) require(all[static_cast<size_t>(r)] == text(r), "all_gather_bytes differs");
}

// Six in flight, started in one order, waited for forwards by even ranks and backwards by odd ones; twice on the same objects.
inline void overlaps(Communicator& comm) {
  constexpr int count = 6;
  std::vector<std::unique_ptr<Collective>> collectives;
  for (int i = 0; i < count; ++i) collectives.push_back(std::make_unique<Collective>(comm));
  for (int round = 0; round < 2; ++round) {
    std::vector<std::vector<double>> data;
    for (int i = 0; i < count; ++i) data.push_back(values_of<double>(comm.rank(), 100 + 37 * i));
    for (int i = 0; i < count; ++i) {
      auto& collective = *collectives[static_cast<size_t>(i)];
      start_all_reduce(collective, vector_of("suite.overlap", std::span(data[static_cast<size_t>(i)])), Reduce::max);
    }
    for (int i = 0; i < count; ++i) {
      collectives[static_cast<size_t>(comm.rank() % 2 == 0 ? i : count - 1 - i)]->wait();
    }
    for (const auto& one : data) {
      for (size_t i = 0; i < one.size(); ++i) {
        const double want = reference<double>(static_cast<int64_t>(i), 0, comm.size(), Reduce::max);
        require(one[i] == want, "an overlapped all_reduce differs");
      }
    }
  }
}

inline void exchanges_messages(Communicator& comm) {
  const int size = comm.size(), rank = comm.rank();
  if (size == 1) return;
  const int next = (rank + 1) % size, previous = (rank + size - 1) % size;
  std::vector<int32_t> out(5000, rank), in(5000, -1);
  Request sending = comm.start_send(std::as_bytes(std::span(out)), next, {Lane::message, 7});
  recv(comm, std::as_writable_bytes(std::span(in)), previous, 7);
  comm.wait(sending, {.name = "suite", .rank = rank, .peer = next});
  require(in == std::vector<int32_t>(5000, previous), "a message differs");
  require(!sending.active(), "a finished request is active");
}

inline void run_all(Communicator& comm) {
  const int size = comm.size();
  for (const int64_t elements : std::vector<int64_t>{0, 1, 2, 3, size - 1, size, size + 1, 17, 64, 840, 1003}) {
    reduces<float>(comm, elements, Reduce::sum);
    reduces<float>(comm, elements, Reduce::max);
    broadcasts(comm, elements);
  }
  for (const int64_t elements : {1, 840, 1003}) {
    reduces<double>(comm, elements, Reduce::sum);
    reduces<int32_t>(comm, elements, Reduce::sum);
    reduces<int64_t>(comm, elements, Reduce::sum);
    reduces<int64_t>(comm, elements, Reduce::max);
  }
  gathers_bytes(comm);
  overlaps(comm);
  exchanges_messages(comm);
  barrier(comm);
}

}  // namespace ringmaster::comm::suite
