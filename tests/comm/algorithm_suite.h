// SPDX-License-Identifier: Apache-2.0
// algorithm_suite: what every algorithm must do, whatever it does inside; thread ranks and MPI ranks both run it. What is expected is a
// serial sum over the ranks and bytes in closed form; nothing of the algorithms' code is used.
#pragma once
#include "reference.h"
#include "ring_suite.h"

#include <array>
#include <utility>

namespace ringmaster::comm::suite {

// Sums are compared at every `stride`th element, bits among ranks at every one.
struct Amount {
  int64_t elements = 0, stride = 1;
};

template <typename T> struct Expected {
  Expected(int size, Amount of, Reduce reduce) : amount(of) {
    for (int64_t i = 0; i < amount.elements; i += amount.stride) {
      T value = value_of<T>(0, i);
      double sum = static_cast<double>(value), magnitude = std::fabs(sum);
      for (int rank = 1; rank < size; ++rank) {
        const T next = value_of<T>(rank, i);
        value = combine(value, next, reduce);
        sum += static_cast<double>(next);
        magnitude += std::fabs(static_cast<double>(next));
      }
      const bool rounds = std::is_floating_point_v<T> && reduce == Reduce::sum;
      values.push_back(rounds ? static_cast<T>(sum) : value);
      bounds.push_back(rounds ? size * magnitude * static_cast<double>(std::numeric_limits<T>::epsilon()) : 0);
    }
  }
  void check(std::span<const T> got, Chunk range, const std::string& what) const {
    for (int64_t i = (range.begin + amount.stride - 1) / amount.stride * amount.stride; i < range.end;
         i += amount.stride) {
      const auto at = static_cast<size_t>(i / amount.stride);
      const T have = got[static_cast<size_t>(i)];
      const bool same = bounds[at] == 0
                            ? have == values[at]
                            : std::fabs(static_cast<double>(have) - static_cast<double>(values[at])) <= bounds[at];
      require(same, fmt::format("{}: element {} is {}, expected {}", what, i, have, values[at]));
    }
  }
  Amount amount;
  std::vector<T> values;
  std::vector<double> bounds;
};

template <typename T> void require_same_bits(Communicator& comm, const std::vector<T>& values, const Group* group) {
  uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a, by elements
  for (const T& value : values) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    hash = (hash ^ bits) * 0x100000001b3U;
  }
  std::array<int64_t, 2> extremes = {static_cast<int64_t>(hash), -1 - static_cast<int64_t>(hash)};
  all_reduce(comm, vector_of("suite.bits", std::span<int64_t>(extremes), {}, group), Reduce::max);
  require(extremes[0] == -1 - extremes[1], "ranks hold other bits");
}

// The bytes that all ranks together must send: each element goes once from every rank but one, or to every rank but one.
inline void require_sent(Communicator& comm, const Vector& vector, Operation operation, const Sent& foretold,
                         const Sent& before) {
  const Members who = comm.members(vector.group);
  const Sent used = difference(comm.traffic().payload, before);
  require(used == foretold,
          fmt::format("{} by {} sent {} bytes in {} messages, foretold {} in {}", name(operation),
                      name(vector.algorithm), used.bytes, used.messages, foretold.bytes, foretold.messages));
  std::array<int64_t, 1> all = {used.bytes};
  all_reduce(comm, vector_of("suite.sent", std::span<int64_t>(all), {}, vector.group));
  const int64_t times = operation == Operation::all_reduce ? 2 : 1;
  const int64_t bytes = times * (who.size() - 1) * vector.elements * size_of(vector.dtype);
  require(all[0] == bytes, fmt::format("{} by {}: {} bytes of all ranks, expected {}", name(operation),
                                       name(vector.algorithm), all[0], bytes));
}

// `mine`: values_of this rank.
template <typename T>
void does_all(Communicator& comm, Algorithm algorithm, const std::vector<T>& mine, const Expected<T>& want,
              Reduce reduce, const Group* group) {
  const Members who = comm.members(group);
  const int64_t elements = want.amount.elements;
  const Chunk everything{0, elements}, own = chunk_of(elements, who.index(), who.size());
  const RingShape shape{elements, sizeof(T), who.index(), who.size(), comm.options().segment_bytes, {algorithm}};
  const std::string what = fmt::format("{} of {} on {} ranks", name(algorithm), elements, who.size());
  std::vector<std::byte> scratch(static_cast<size_t>(can(algorithm, Operation::all_reduce) ? scratch_bytes(shape) : 0));
  std::vector<T> values = mine;
  Vector vector = vector_of("suite.algorithm", std::span(values), scratch, group);
  vector.algorithm = algorithm;

  Sent before = comm.traffic().payload;
  all_reduce(comm, vector, reduce);
  require_sent(comm, vector, Operation::all_reduce, all_reduce_sent(shape), before);
  want.check(values, everything, "all_reduce by " + what);
  require_same_bits(comm, values, group);
  if (can(algorithm, Operation::reduce_scatter)) {
    const std::vector<T> reduced = std::exchange(values, mine);
    vector.data = values.data();
    before = comm.traffic().payload;
    reduce_scatter(comm, vector, reduce);
    require_sent(comm, vector, Operation::reduce_scatter, reduce_scatter_sent(shape), before);
    want.check(values, own, "reduce_scatter by " + what);
    before = comm.traffic().payload;
    all_gather(comm, vector);
    require_sent(comm, vector, Operation::all_gather, all_gather_sent(shape), before);
    require(values.empty() || std::memcmp(values.data(), reduced.data(), values.size() * sizeof(T)) == 0,
            "reduce_scatter and all_gather differ from all_reduce by " + what);
  }
  for (int root = 0; can(algorithm, Operation::broadcast) && root < who.size(); root += 1 + who.size() / 3) {
    values = mine;
    vector.data = values.data();
    before = comm.traffic().payload;
    broadcast(comm, vector, root);
    require_sent(comm, vector, Operation::broadcast, broadcast_sent(shape, root), before);
    for (int64_t i = 0; i < elements; i += want.amount.stride)
      require(values[static_cast<size_t>(i)] == value_of<T>(root, i), "broadcast by " + what);
    if (root == 0) require_same_bits(comm, values, group);
  }
}

template <typename T>
void every_algorithm(Communicator& comm, Amount amount, Reduce reduce, const Group* group = nullptr) {
  const Members who = comm.members(group);
  const Expected<T> want(who.size(), amount, reduce);
  const std::vector<T> mine = values_of<T>(who.index(), amount.elements);
  for (const Algorithm algorithm : algorithms) does_all<T>(comm, algorithm, mine, want, reduce, group);
}

inline void run_algorithms(Communicator& comm) {
  const int64_t size = comm.size();
  for (const int64_t elements : {int64_t{0}, int64_t{1}, size - 1, size, int64_t{1003}}) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max}) {
      every_algorithm<int32_t>(comm, {elements}, reduce);
      every_algorithm<float>(comm, {elements}, reduce);
      every_algorithm<int64_t>(comm, {elements}, reduce);
    }
  }
}

// Several in flight on each of the algorithms, waited for in different orders; twice on the same objects.
inline void algorithms_overlap(Communicator& comm) {
  std::vector<std::unique_ptr<Collective>> collectives;
  for (int i = 0; i < 9; ++i) collectives.push_back(std::make_unique<Collective>(comm));
  for (int round = 0; round < 2; ++round) {
    std::vector<std::vector<int64_t>> data;
    for (int i = 0; i < 9; ++i) data.push_back(values_of<int64_t>(comm.rank(), 200 + 37 * i));
    for (size_t i = 0; i < 9; ++i) {
      Vector vector = vector_of("suite.overlap", std::span(data[i]));
      vector.algorithm = algorithms[(i + static_cast<size_t>(round)) % 3];
      start_all_reduce(*collectives[i], vector);
    }
    for (size_t i = 0; i < 9; ++i) collectives[comm.rank() % 2 == 0 ? i : 8 - i]->wait();
    for (const auto& one : data)
      Expected<int64_t>(comm.size(), {static_cast<int64_t>(one.size())}, Reduce::sum)
          .check(one, {0, static_cast<int64_t>(one.size())}, "an overlapped all_reduce");
  }
}

}  // namespace ringmaster::comm::suite
