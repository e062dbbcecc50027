// SPDX-License-Identifier: Apache-2.0
// Collectives of some ranks: whom they reach, what they leave alone, and how two groups keep out of each other's way.
#include "node_suite.h"
#include "ring_suite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

namespace ringmaster::comm {
namespace {

// The group of `ranks` that `rank` is in.
Group group_among(int number, const std::vector<std::vector<int>>& groups, int rank) {
  for (const std::vector<int>& ranks : groups)
    if (std::ranges::find(ranks, rank) != ranks.end()) return make_group(number, ranks, rank);
  return {};
}

// Every collective of `group`, whose values are those of its ranks 0, 1, ...
template <typename T> void collectives_of(Communicator& comm, const Group& group, int64_t elements, Reduce reduce) {
  const int index = group.index, size = static_cast<int>(group.ranks.size());
  const RingShape shape{elements, sizeof(T), index, size, comm.options().segment_bytes};
  const Sent before = comm.traffic().payload;
  std::vector<T> all = suite::values_of<T>(index, elements);
  all_reduce(comm, vector_of("group.all_reduce", std::span(all), {}, &group), reduce);
  suite::require(suite::difference(comm.traffic().payload, before) == all_reduce_sent(shape),
                 "all_reduce of a group sent other bytes than planned");
  for (int c = 0; c < size; ++c) {
    const Chunk chunk = chunk_of(elements, c, size);
    suite::expect_chunk<T>(all, chunk.begin, chunk.end - chunk.begin, c, size, reduce);
  }
  std::vector<T> halves = suite::values_of<T>(index, elements);
  reduce_scatter(comm, vector_of("group.reduce_scatter", std::span(halves), {}, &group), reduce);
  const Chunk own = chunk_of(elements, index, size);
  suite::expect_chunk<T>(halves, own.begin, own.end - own.begin, index, size, reduce);
  all_gather(comm, vector_of("group.all_gather", std::span(halves), {}, &group));
  suite::require(halves == all, "reduce_scatter and all_gather differ from all_reduce");
  for (int root = 0; root < size; ++root) {
    std::vector<T> sent = suite::values_of<T>(index, elements);
    broadcast(comm, vector_of("group.broadcast", std::span(sent), {}, &group), root);
    suite::require(sent == suite::values_of<T>(root, elements), "a broadcast of a group differs");
  }
  barrier(comm, "group.barrier", &group);
}

TEST(Group, OfOneTwoAndThreeOfSixRanks) {
  const suite::Watchdog watchdog;
  const std::vector<std::vector<int>> groups = {{4}, {5, 1}, {2, 0, 3}};
  EXPECT_NO_THROW(run_ranks(6,
                            [&](Communicator& comm) {
                              const Group group = group_among(1, groups, comm.rank());
                              for (const int64_t elements : {0, 1, 2, 3, 17, 1003}) {
                                collectives_of<int32_t>(comm, group, elements, Reduce::sum);
                                collectives_of<float>(comm, group, elements, Reduce::max);
                              }
                              suite::run_all(comm);
                            },
                            {.segment_bytes = 64}));
}

TEST(Group, WhatOnlySomeRanksDoShiftsNobodysOrder) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(6, [](Communicator& comm) {
    for (int round = 0; round < 3; ++round) {
      if (comm.rank() == 1 || comm.rank() == 4)
        for (int i = 0; i <= round; ++i)
          collectives_of<int64_t>(comm, make_group(7, {1, 4}, comm.rank()), 100, Reduce::sum);
      suite::reduces<int32_t>(comm, 100, Reduce::sum);
    }
  }));
}

// Nodes and lanes at once, and all ranks; started in one order by even ranks and in another one by odd ranks.
TEST(Group, SeveralAtATimeInAnyOrder) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(
      6,
      [](Communicator& comm) {
        const Group node = make_group(1, comm.node(), comm.rank()), lane = make_group(2, comm.lane(), comm.rank());
        const Group everyone;
        std::vector<const Group*> groups = {&node, &lane, &everyone};
        if (comm.rank() % 2 == 1) std::ranges::reverse(groups);
        std::vector<std::unique_ptr<Collective>> collectives;
        for (int i = 0; i < 3; ++i) collectives.push_back(std::make_unique<Collective>(comm));
        for (int round = 0; round < 20; ++round) {
          std::vector<std::vector<int64_t>> data(3, std::vector<int64_t>(500, int64_t{1} << (8 * comm.rank())));
          for (size_t i = 0; i < 3; ++i)
            start_all_reduce(*collectives[i], vector_of("several", std::span(data[i]), {}, groups[i]));
          for (auto& collective : collectives) collective->wait();
          for (size_t i = 0; i < 3; ++i) {
            int64_t want = 0;
            for (int rank = 0; rank < comm.size(); ++rank)
              if (groups[i] == &everyone || std::ranges::count(groups[i]->ranks, rank) > 0)
                want += int64_t{1} << (8 * rank);
            suite::require(data[i] == std::vector<int64_t>(500, want), "a sum holds other ranks than the group's");
          }
        }
      },
      {.segment_bytes = 256, .ranks_per_node = 2}));
}

TEST(Place, ThreadsPlaySeveralNodes) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(
      run_ranks(6,
                [](Communicator& comm) {
                  suite::require(comm.node_size() == 3 && comm.node_rank() == comm.rank() % 3, "nodes of three");
                  suite::require(comm.lane() == std::vector<int>{comm.rank() % 3, comm.rank() % 3 + 3}, "lanes of two");
                  suite::run_node(comm);
                },
                {.ranks_per_node = 3}));
}

TEST(Place, LanesGoAcrossNodesOfOneSize) {
  const std::vector<int> pairs = {0, 0, 2, 2, 4, 4}, woven = {9, 5, 9, 5}, uneven = {0, 0, 0, 3, 3, 3, 6};
  EXPECT_EQ(place_among(3, pairs).node, (std::vector<int>{2, 3}));
  EXPECT_EQ(place_among(3, pairs).lane, (std::vector<int>{1, 3, 5}));
  EXPECT_EQ(place_among(3, pairs).node_rank, 1);
  EXPECT_EQ(place_among(2, woven).node, (std::vector<int>{0, 2}));
  EXPECT_EQ(place_among(2, woven).lane, (std::vector<int>{2, 3}));
  EXPECT_EQ(place_among(1, woven).lane, (std::vector<int>{0, 1}));
  EXPECT_EQ(place_among(4, uneven).node_size, 3);
  for (int rank = 0; rank < 7; ++rank) EXPECT_TRUE(place_among(rank, uneven).lane.empty());
}

std::vector<std::optional<ErrorInfo>> errors_of(int size, const std::function<void(Communicator&)>& body) {
  std::vector<std::optional<ErrorInfo>> errors(static_cast<size_t>(size));
  run_ranks(size,
            [&](Communicator& comm) {
              try {
                body(comm);
              } catch (const Error& error) { errors[static_cast<size_t>(comm.rank())] = error.info(); }
            },
            {.timeout_s = 0.2});
  return errors;
}

void expect_parts(const std::optional<ErrorInfo>& error, std::initializer_list<std::string> parts) {
  ASSERT_TRUE(error.has_value());
  for (const std::string& part : parts) EXPECT_NE(error->message.find(part), std::string::npos) << error->message;
}

TEST(GroupFailure, NamesRanksOfTheJob) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(6, [](Communicator& comm) {
    if (comm.rank() != 3 && comm.rank() != 5) return;
    const Group group = make_group(2, {5, 3}, comm.rank());
    std::vector<float> data(comm.rank() == 3 ? 64 : 65);
    all_reduce(comm, vector_of("x", std::span(data), {}, &group));
  });
  expect_parts(errors[3], {"rank 3 calls", "64 x f32", "rank 5 calls", "65 x f32", "group 2 of 2 ranks"});
  expect_parts(errors[5], {"rank 3 calls", "rank 5 calls"});

  const auto late = errors_of(6, [](Communicator& comm) {
    if (comm.rank() != 3) return;
    const Group group = make_group(2, {5, 3}, comm.rank());
    std::vector<float> data(64);
    all_reduce(comm, vector_of("x", std::span(data), {}, &group));
  });
  expect_parts(late[3], {"on rank 3", "for rank 5"});
}

TEST(GroupFailure, RanksThatMeanOtherGroupsAreRefused) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(4, [](Communicator& comm) {
    if (comm.rank() > 2) return;
    const Group group = make_group(1, comm.rank() == 2 ? std::vector{0, 2, 3, 1} : std::vector{0, 2, 1}, comm.rank());
    std::vector<float> data(64);
    all_reduce(comm, vector_of("x", std::span(data), {}, &group));
  });
  expect_parts(errors[2], {"of 3 ranks", "of 4 ranks"});
  EXPECT_THROW(make_group(1, {0, 2}, 1), Error);
  EXPECT_THROW(make_group(0, {0, 2}, 0), Error);
  EXPECT_THROW(make_group(most_groups, {0, 2}, 0), Error);
}

TEST(WireTag, DiffersByGroupAndStream) {
  std::set<int> tags;
  for (int group = 0; group < most_groups; ++group) {
    for (const uint64_t number : {0, most_in_flight - 1}) {
      tags.insert(wire_tag({Lane::header, number, group}));
      for (const int stream : {0, 1}) tags.insert(wire_tag({Lane::payload, number, group, stream}));
    }
  }
  EXPECT_EQ(tags.size(), most_groups * 6U);
  EXPECT_EQ(*tags.begin(), 8192);
  EXPECT_EQ(*tags.rbegin(), 32767);
  EXPECT_EQ(wire_tag({Lane::payload, most_in_flight, 3}), wire_tag({Lane::payload, 0, 3}));
}

}  // namespace
}  // namespace ringmaster::comm
