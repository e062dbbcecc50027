// SPDX-License-Identifier: Apache-2.0
// The model of what collectives cost, its numbers measured, and what is chosen by them.
#include "comm/costs.h"

#include "algorithm_suite.h"

#include <gtest/gtest.h>

namespace ringmaster::comm {
namespace {

Costs same_for_all(double alpha, double beta, double gamma) {
  Costs costs;
  costs.of.fill({alpha, beta});
  costs.gamma = gamma;
  return costs;
}

// 248 MB on 16384 ranks, 2 us, 50 GB/s: 65.5 + 9.9 ms and 0.06 + 9.9 ms.
TEST(CostModel, IsTheOneOfTheTextbooks) {
  const Costs costs = same_for_all(2e-6, 1 / 50e9, 1e-30);
  const Load load{.bytes = 248'000'000, .size = 16384};
  EXPECT_NEAR(seconds(costs, Algorithm::ring, load), 65.5e-3 + 9.9e-3, 1e-4);
  EXPECT_NEAR(seconds(costs, Algorithm::halving, load), 0.056e-3 + 9.9e-3, 1e-4);
  EXPECT_NEAR(seconds(costs, Algorithm::tree, load), 0.056e-3 + 9.9e-3 + 28 * 262144 / 50e9, 1e-4);
  Load half = load;
  half.operation = Operation::reduce_scatter;
  EXPECT_NEAR(2 * seconds(costs, Algorithm::ring, half), seconds(costs, Algorithm::ring, load), 1e-9);
  EXPECT_EQ(seconds(costs, Algorithm::ring, {.bytes = 1000, .size = 1}), 0);
}

TEST(CostModel, ForetellsWhatARankSends) {
  for (const Algorithm algorithm : {Algorithm::ring, Algorithm::halving})
    for (const int size : {2, 3, 5, 8, 16}) {
      const RingShape shape{.elements = 1000 * size, .rank = 1, .size = size, .choice = {algorithm}};
      const Terms terms = terms_of(algorithm, {.bytes = 4000 * size, .size = size});
      EXPECT_EQ(terms.sent, static_cast<double>(all_reduce_sent(shape).bytes)) << name(algorithm) << size;
    }
}

TEST(Choice, IsTheQuickestByTheCosts) {
  const Choice choice{Algorithm::automatic, same_for_all(2e-6, 1e-10, 1e-11)};
  EXPECT_EQ(choice.of({.bytes = 1000, .size = 16}), Algorithm::halving);
  EXPECT_EQ(choice.of({.bytes = 1000, .size = 2}), Algorithm::ring);
  EXPECT_EQ(choice.of({.bytes = 1 << 30, .size = 16}), Algorithm::ring);  // not clearly slower
  EXPECT_EQ(choice.of({.operation = Operation::broadcast, .bytes = 1000, .size = 16}), Algorithm::tree);
  Choice quick_tree = choice;
  quick_tree.costs.of[2].alpha = 1e-7;
  EXPECT_EQ(quick_tree.of({.bytes = 1000, .size = 16}), Algorithm::tree);
  EXPECT_EQ(quick_tree.of({.operation = Operation::reduce_scatter, .bytes = 1000, .size = 16}), Algorithm::halving);
  const Choice tree{Algorithm::tree};
  EXPECT_EQ(tree.of({.bytes = 1 << 30, .size = 16}), Algorithm::tree);
  EXPECT_EQ(tree.of({.operation = Operation::all_gather, .bytes = 1000, .size = 16}), Algorithm::ring);
}

TEST(Choice, IsWhatACollectiveDoesThatDoesNotSayHow) {
  const suite::Watchdog watchdog;
  for (const Algorithm algorithm : algorithms) {
    EXPECT_NO_THROW(run_ranks(6, [algorithm](Communicator& comm) {
      comm.choose({algorithm});
      std::vector<int32_t> values = suite::values_of<int32_t>(comm.rank(), 100);
      all_reduce(comm, vector_of("chosen", std::span(values)));
      suite::Expected<int32_t>(6, {100}, Reduce::sum).check(values, {0, 100}, name(algorithm));
      const RingShape shape{100, 4, comm.rank(), comm.size(), comm.options().segment_bytes, comm.choice()};
      suite::require(comm.traffic().payload == all_reduce_sent(shape), "another algorithm was taken");
    }));
  }
  EXPECT_THROW(run_ranks(3,
                         [](Communicator& comm) {
                           comm.choose({comm.rank() == 0 ? Algorithm::ring : Algorithm::halving});
                           std::vector<int32_t> values(100);
                           all_reduce(comm, vector_of("chosen", std::span(values)));
                         }),
               Error);
}

TEST(Costs, AreMeasuredTheSameForAllRanksAndSendWhatIsForetold) {
  const suite::Watchdog watchdog;
  for (const int size : {1, 2, 5}) {
    std::vector<Costs> found(static_cast<size_t>(size));
    EXPECT_NO_THROW(run_ranks(size, [&](Communicator& comm) {
      found[static_cast<size_t>(comm.rank())] = measure_costs(comm);
      const RingShape who{.rank = comm.rank(), .size = comm.size(), .segment_bytes = comm.options().segment_bytes};
      suite::require(comm.traffic().payload == costs_sent(who), "measuring sent other bytes than foretold");
    }));
    for (const Costs& costs : found) {
      EXPECT_EQ(costs, found.front());
      for (const Link& link : costs.of) EXPECT_TRUE(link.alpha > 0 && link.beta > 0);
      EXPECT_GT(costs.gamma, 0);
    }
  }
}

TEST(Costs, AreReadAsTheyWereWritten) {
  Costs costs = same_for_all(1.5e-6, 3.25e-10, 1.0 / 3e9);
  costs.of[1].alpha = 7.7e-7;
  const std::string text = to_text(costs);
  ASSERT_TRUE(costs_from_text(text).has_value());
  EXPECT_EQ(*costs_from_text(text), costs);
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(costs_from_text(text.substr(0, n)).has_value()) << n;
  EXPECT_FALSE(costs_from_text(text + "1\n").has_value());
  EXPECT_FALSE(costs_from_text("ringmaster.comm-costs/1 1 1 1 1 1 1 -1\n").has_value());
  EXPECT_FALSE(costs_from_text("ringmaster.comm-costs/1 1 1 1 1 1 1 nan\n").has_value());
}

}  // namespace
}  // namespace ringmaster::comm
