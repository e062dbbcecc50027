// SPDX-License-Identifier: Apache-2.0
// Every algorithm on 1 to 64 ranks as threads, and its schedule on paper.
#include "algorithm_suite.h"
#include "comm/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

namespace ringmaster::comm {
namespace {

constexpr std::array<Operation, 4> operations = {Operation::reduce_scatter, Operation::all_gather,
                                                 Operation::all_reduce, Operation::broadcast};

class Algorithms : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Algorithms, testing::Values(1, 2, 3, 4, 5, 6, 7, 8, 9, 16));

TEST_P(Algorithms, EqualASerialSumAndSendTheForetoldBytes) {
  const suite::Watchdog watchdog;
  for (const int64_t segment_bytes : {56, 262144})
    EXPECT_NO_THROW(run_ranks(GetParam(), suite::run_algorithms, {.segment_bytes = segment_bytes}));
}

TEST_P(Algorithms, OfAMillionElements) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(GetParam(),
                            [](Communicator& comm) {
                              suite::every_algorithm<int32_t>(comm, {1'000'003, 13}, Reduce::sum);
                              suite::every_algorithm<float>(comm, {1'000'003, 61}, Reduce::sum);
                            },
                            {.segment_bytes = 20'000}));
}

TEST_P(Algorithms, Overlap) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(GetParam(), suite::algorithms_overlap, {.segment_bytes = 136}));
}

TEST(AlgorithmsInGroups, OfThreeAndFourOfSevenRanks) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(
      7,
      [](Communicator& comm) {
        const bool first = comm.rank() % 2 == 1;
        const Group group = make_group(1, first ? std::vector{5, 1, 3} : std::vector{0, 2, 6, 4}, comm.rank());
        for (const int64_t elements : {0, 1, 5, 1003}) {
          suite::every_algorithm<int32_t>(comm, {elements}, Reduce::sum, &group);
          suite::every_algorithm<float>(comm, {elements}, Reduce::sum);
        }
      },
      {.segment_bytes = 64}));
}

// More ranks than cores, as many steps as a short run has.
TEST(Algorithms64Ranks, SendTheForetoldMessagesAndBytes) {
  const suite::Watchdog watchdog;
  for (const Algorithm algorithm : algorithms) {
    EXPECT_NO_THROW(run_ranks(64, [algorithm](Communicator& comm) {
      const RingShape shape{5000, 4, comm.rank(), comm.size(), comm.options().segment_bytes, {algorithm}};
      const suite::Expected<int32_t> want(64, {5000}, Reduce::sum);
      for (int step = 1; step <= 20; ++step) {
        std::vector<int32_t> values = suite::values_of<int32_t>(comm.rank(), 5000);
        Vector vector = vector_of("step", std::span(values));
        vector.algorithm = algorithm;
        all_reduce(comm, vector);
        want.check(values, {0, 5000}, name(algorithm));
        const Sent one = all_reduce_sent(shape);
        suite::require(comm.traffic().payload == Sent{step * one.bytes, step * one.messages},
                       "other bytes than foretold");
      }
    }));
  }
}

// ---- schedules on paper

struct Row {  // what goes from one rank to another on one stream, in order
  int from, to, stream;
  auto operator<=>(const Row&) const = default;
};
using Ranges = std::map<Row, std::vector<std::pair<int64_t, int64_t>>>;

TEST(Schedule, WhatIsSentIsReceivedInTheSameOrderAndNeighboursGreet) {
  for (const Algorithm algorithm : algorithms)
    for (const Operation operation : operations)
      for (int size = 2; size <= 33; ++size) {
        if (!can(algorithm, operation)) continue;
        const Schedule& schedule = schedule_of(algorithm, operation);
        Ranges sent, received;
        std::map<std::pair<int, int>, int> headers, greetings;
        for (int rank = 0; rank < size; ++rank) {
          const Call call{operation, rank, size, size / 2, 1003};
          for (int f = 0; f < schedule.flows(call); ++f) {
            const Flow flow = schedule.flow(call, f);
            if (flow.peer < 0) continue;
            const auto ends = flow.sends ? std::pair{rank, flow.peer} : std::pair{flow.peer, rank};
            if (flow.header) headers[ends] += flow.sends ? 1 : -1;
            if (flow.header && flow.sends) greetings[ends] += 1;
            for (int t = 0; t < flow.transfers; ++t) {
              const Chunk range = schedule.transfer(call, f, t).range;
              if (range.begin != range.end)
                (flow.sends ? sent : received)[{ends.first, ends.second, flow.stream}].emplace_back(range.begin,
                                                                                                    range.end);
            }
          }
        }
        EXPECT_EQ(sent, received) << name(algorithm) << " " << name(operation) << " of " << size;
        for (const auto& [ends, count] : headers) EXPECT_EQ(count, 0);
        for (int rank = 0; rank < size; ++rank)
          EXPECT_TRUE(greetings.contains({rank, (rank + 1) % size})) << name(algorithm) << " " << name(operation);
      }
}

TEST(Halving, HalvesWhatItSendsWhereThereAreAPowerOfTwoRanks) {
  for (const int size : {2, 4, 8, 16, 32}) {
    const Call call{Operation::reduce_scatter, 3 % size, size, 0, 64 * size};
    int64_t want = 64 * size / 2;
    for (int f = 1; f < halving_schedule.flows(call); f += 2, want /= 2) {
      const int64_t elements =
          halving_schedule.transfer(call, f, 0).range.size() + halving_schedule.transfer(call, f, 1).range.size();
      EXPECT_EQ(elements, want);
      EXPECT_EQ(halving_schedule.flow(call, f).peer, (call.index + want / 64) % size);
    }
    EXPECT_EQ(want, 32);
  }
}

TEST(Halving, EveryRankSendsAllButOneOfItsChunksInTheFewestRounds) {
  for (int size = 2; size <= 70; ++size)
    for (int rank = 0; rank < size; ++rank) {
      const RingShape shape{.elements = 10 * size, .rank = rank, .size = size, .choice = {Algorithm::halving}};
      int rounds = 0;
      while ((1 << rounds) < size) ++rounds;
      EXPECT_EQ(reduce_scatter_sent(shape).bytes, 40 * (size - 1));
      EXPECT_EQ(all_gather_sent(shape).bytes, 40 * (size - 1));
      EXPECT_GE(reduce_scatter_sent(shape).messages, rounds);
      EXPECT_LE(reduce_scatter_sent(shape).messages, 2 * rounds);  // one more where a range goes over the end
      EXPECT_EQ(halving_schedule.flows({Operation::all_reduce, rank, size, 0, 0}), 4 * rounds);
    }
}

// A rank's receiving and sending flows of a broadcast in one of the trees.
struct Vertex {
  int parent = -1;
  std::set<int> children;
};
Vertex vertex_of(int rank, int size, int root, int tree) {
  Vertex vertex;
  const Call call{Operation::broadcast, rank, size, root, 100};
  for (int f = 0; f < tree_schedule.flows(call); ++f) {
    const Flow flow = tree_schedule.flow(call, f);
    if (flow.peer < 0 || flow.transfers == 0 || flow.stream != tree) continue;
    if (flow.sends)
      vertex.children.insert(flow.peer);
    else
      vertex.parent = flow.peer;
  }
  return vertex;
}

TEST(Tree, ReachesEveryRankInTheFewestSteps) {
  for (int size = 2; size <= 70; ++size)
    for (const int root : {0, size / 3})
      for (const int tree : {0, 1}) {
        int most = 1;
        while ((1 << most) <= size - 1) ++most;  // 1 + floor(log2(size - 1))
        for (int rank = 0; rank < size; ++rank) {
          int at = rank, steps = 0;
          while (at != root && steps <= most) {
            const int parent = vertex_of(at, size, root, tree).parent;
            ASSERT_GE(parent, 0);
            EXPECT_TRUE(vertex_of(parent, size, root, tree).children.contains(at));
            at = parent;
            ++steps;
          }
          EXPECT_LE(steps, most) << rank << " of " << size;
        }
        EXPECT_EQ(vertex_of(root, size, root, tree).parent, -1);
      }
}

TEST(Tree, WhoIsInsideTheOneIsALeafOfTheOther) {
  for (int size = 2; size <= 70; ++size) {
    int both = 0;
    for (int rank = 1; rank < size; ++rank)
      if (!vertex_of(rank, size, 0, 0).children.empty() && !vertex_of(rank, size, 0, 1).children.empty()) ++both;
    EXPECT_EQ(both, 0) << size;
  }
}

// Else the bits of a sum of floats would depend on which child is quicker.
TEST(Tree, AddsItsChildrenInOneOrder) {
  int pairs = 0;
  for (int size = 4; size <= 20; ++size)
    for (int rank = 0; rank < size; ++rank) {
      const Call call{Operation::all_reduce, rank, size, 0, 100};
      std::map<int, std::vector<int>> children;  // flows that are added, by tree
      for (int f = 0; f < tree_schedule.flows(call); ++f)
        if (const Flow flow = tree_schedule.flow(call, f);
            flow.peer >= 0 && flow.transfers > 0 && tree_schedule.transfer(call, f, 0).reduced)
          children[flow.stream].push_back(f);
      for (const auto& [tree, flows] : children) {
        if (flows.size() < 2) continue;
        ++pairs;
        EXPECT_EQ(tree_schedule.transfer(call, flows[1], 0).after[0].flow, flows[0]) << rank << " of " << size;
      }
    }
  EXPECT_GT(pairs, 17);
}

// ---- failures

std::vector<std::optional<ErrorInfo>> errors_of(int size, const std::function<void(Communicator&)>& body) {
  std::vector<std::optional<ErrorInfo>> errors(static_cast<size_t>(size));
  run_ranks(size,
            [&](Communicator& comm) {
              try {
                body(comm);
              } catch (const Error& error) { errors[static_cast<size_t>(comm.rank())] = error.info(); }
            },
            {.timeout_s = 0.3, .segment_bytes = 200});
  return errors;
}

void call(Communicator& comm, Algorithm algorithm, Operation operation, int64_t elements) {
  std::vector<int32_t> values(static_cast<size_t>(elements));
  Vector vector = vector_of("bucket", std::span(values));
  vector.algorithm = algorithm;
  Collective collective(comm);
  collective.start(operation, vector);
  collective.wait();
}

TEST(AlgorithmFailure, AMissingRankIsAnErrorOnEveryOther) {
  const suite::Watchdog watchdog;
  for (const Algorithm algorithm : algorithms)
    for (const Operation operation : {Operation::all_reduce, Operation::reduce_scatter, Operation::all_gather}) {
      if (!can(algorithm, operation)) continue;
      const auto errors = errors_of(6, [&](Communicator& comm) {
        if (comm.rank() != 2) call(comm, algorithm, operation, 600);
      });
      bool named = false;
      for (size_t rank = 0; rank < 6; ++rank) {
        if (rank == 2) continue;
        ASSERT_TRUE(errors[rank].has_value()) << name(algorithm) << ", rank " << rank;
        EXPECT_EQ(errors[rank]->kind, ErrorKind::timeout);
        EXPECT_NE(errors[rank]->message.find(fmt::format("{} #0 `bucket` on rank {}", name(operation), rank)),
                  std::string::npos)
            << errors[rank]->message;
        named |= errors[rank]->message.find("for rank 2 ") != std::string::npos;
      }
      EXPECT_TRUE(named) << name(algorithm) << ": nobody names the missing rank";
    }
}

TEST(AlgorithmFailure, AnotherCallIsAnErrorOnEveryRank) {
  const suite::Watchdog watchdog;
  for (const Algorithm algorithm : algorithms) {
    const Algorithm other = algorithm == Algorithm::ring ? Algorithm::tree : Algorithm::ring;
    const std::vector<std::function<void(Communicator&)>> calls = {
        [&](Communicator& comm) { call(comm, algorithm, Operation::all_reduce, 599); },
        [&](Communicator& comm) { call(comm, algorithm, Operation::all_reduce, 0); },
        [&](Communicator& comm) { call(comm, other, Operation::all_reduce, 600); },
        [&](Communicator& comm) { call(comm, Algorithm::ring, Operation::all_gather, 600); },
        [&](Communicator& comm) { call(comm, Algorithm::halving, Operation::all_gather, 600); },
        [&](Communicator& comm) { call(comm, Algorithm::tree, Operation::broadcast, 600); },
        [&](Communicator& comm) { barrier(comm, "bucket"); }};
    for (size_t i = 0; i < calls.size(); ++i) {
      const auto errors = errors_of(6, [&](Communicator& comm) {
        if (comm.rank() == 3) return calls[i](comm);
        call(comm, algorithm, Operation::all_reduce, 600);
      });
      bool both_sides = false;
      for (size_t rank = 0; rank < 6; ++rank) {
        if (rank == 3) continue;  // who sends nothing and is sent what it expects may be content
        ASSERT_TRUE(errors[rank].has_value()) << name(algorithm) << ", call " << i << ", rank " << rank;
        both_sides |=
            errors[rank]->kind == ErrorKind::rank && errors[rank]->message.find("rank 3 calls") != std::string::npos;
      }
      EXPECT_TRUE(both_sides) << name(algorithm) << ", call " << i;
    }
  }
}

TEST(AlgorithmFailure, WhatAnAlgorithmCanNotDoIsRefused) {
  EXPECT_NO_THROW(run_ranks(2, [](Communicator& comm) {
    for (const auto& [algorithm, operation] :
         {std::pair{Algorithm::tree, Operation::reduce_scatter}, std::pair{Algorithm::tree, Operation::all_gather},
          std::pair{Algorithm::halving, Operation::broadcast}}) {
      try {
        call(comm, algorithm, operation, 10);
        suite::require(false, "it was done");
      } catch (const Error& error) { suite::require(error.info().kind == ErrorKind::usage, error.info().message); }
    }
  }));
}

}  // namespace
}  // namespace ringmaster::comm
