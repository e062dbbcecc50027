// SPDX-License-Identifier: Apache-2.0
// The ring on 1 to 8 ranks as threads; segments are lowered so that their edges are hit.
#include "ring_suite.h"

#include <gtest/gtest.h>

#include <limits>

namespace ringmaster::comm {
namespace {

struct Case {
  int ranks;
  int64_t segment_bytes;
};

class Ring : public testing::TestWithParam<Case> {};

TEST_P(Ring, EqualsTheSequentialReferenceAndThePlannedBytes) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(GetParam().ranks, suite::run_all, {.segment_bytes = GetParam().segment_bytes}));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int ranks = 1; ranks <= 8; ++ranks) {
    for (const int64_t segment_bytes : {12, 64, 262144}) all.push_back({ranks, segment_bytes});
  }
  all.push_back({3, 1});  // less than an element: one element a message
  return all;
}

std::string case_name(const testing::TestParamInfo<Case>& test) {
  return fmt::format("{}RanksSegmentsOf{}", test.param.ranks, test.param.segment_bytes);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Ring, testing::ValuesIn(cases()), case_name);

class LongRing : public testing::TestWithParam<int> {};

TEST_P(LongRing, SixtyFourMebibytes) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(GetParam(), [](Communicator& comm) {
    constexpr int64_t elements = 16 << 20;
    std::vector<float> data = suite::values_of<float>(comm.rank(), elements);
    all_reduce(comm, vector_of("long", std::span(data)));
    for (int chunk = 0; chunk < comm.size(); ++chunk) {
      const Chunk range = chunk_of(elements, chunk, comm.size());
      for (int64_t i = range.begin; i < range.end; i += 61) {
        const float want = suite::reference<float>(i, chunk, comm.size(), Reduce::sum);
        suite::require(std::memcmp(&want, &data[static_cast<size_t>(i)], 4) == 0, fmt::format("element {} differs", i));
      }
    }
  }));
}

INSTANTIATE_TEST_SUITE_P(Ranks, LongRing, testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

TEST(ChunkOf, CoversEveryElementOnceAndDiffersByAtMostOne) {
  for (int count = 1; count <= 9; ++count) {
    for (int64_t elements = 0; elements < 40; ++elements) {
      int64_t end = 0;
      for (int c = 0; c < count; ++c) {
        const Chunk chunk = chunk_of(elements, c, count);
        EXPECT_EQ(chunk.begin, end);
        EXPECT_GE(chunk.end - chunk.begin, elements / count);
        EXPECT_LE(chunk.end - chunk.begin, elements / count + 1);
        end = chunk.end;
      }
      EXPECT_EQ(end, elements);
    }
  }
}

TEST(AllReduceSent, IsTwoPMinusOneOverPOfThePayload) {
  for (int size = 1; size <= 8; ++size) {
    for (int rank = 0; rank < size; ++rank) {
      const Sent sent = all_reduce_sent({.elements = 840'000, .element_bytes = 4, .rank = rank, .size = size});
      EXPECT_EQ(sent.bytes * size, 2 * (size - 1) * 840'000 * 4LL);
    }
  }
}

TEST(AllReduce, ANotANumberReachesEveryRank) {
  const suite::Watchdog watchdog;
  for (int poisoned = 0; poisoned < 3; ++poisoned) {
    EXPECT_NO_THROW(run_ranks(3, [poisoned](Communicator& comm) {
      std::vector<float> data = {1.0F, -2.0F, 3.0F, 4.0F};
      if (comm.rank() == poisoned) data[1] = std::numeric_limits<float>::quiet_NaN();
      all_reduce(comm, vector_of("nan", std::span(data)), Reduce::max);
      suite::require(std::isnan(data[1]) && data[0] == 1.0F && data[3] == 4.0F, "the maximum lost a NaN");
    }));
  }
}

TEST(AllReduce, SixteenBitFloatsAreRefused) {
  const suite::Watchdog watchdog;
  std::vector<bf16> data(4);
  EXPECT_THROW(run_ranks(2, [&](Communicator& comm) { all_reduce(comm, vector_of("half", std::span(data))); }), Error);
}

TEST(Traffic, HeadersAreCountedApart) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(4, [](Communicator& comm) {
    std::vector<float> data(100);
    all_reduce(comm, vector_of("counted", std::span(data)));
    suite::require(comm.traffic().headers == Sent{sizeof(Header), 1}, "a collective sends one header");
    suite::require(comm.traffic().messages == Sent{}, "a collective sends no messages");
    barrier(comm);
    suite::require(comm.traffic().headers == Sent{3 * sizeof(Header), 3}, "a barrier of 4 sends two headers");
    std::byte one{};
    if (comm.rank() == 0) send(comm, {&one, 1}, 1, 0);
    if (comm.rank() == 1) recv(comm, {&one, 1}, 0, 0);
    suite::require(comm.traffic().messages.bytes == (comm.rank() == 0 ? 1 : 0),
                   "a message is counted where it is sent");
  }));
}

TEST(Single, CollectivesOfOneRankLeaveTheDataAlone) {
  const auto comm = make_single();
  suite::run_all(*comm);
  EXPECT_EQ(comm->traffic().payload, Sent{});
  EXPECT_EQ(comm->traffic().headers, Sent{});
}

}  // namespace
}  // namespace ringmaster::comm
