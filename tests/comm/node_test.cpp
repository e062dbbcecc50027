// SPDX-License-Identifier: Apache-2.0
// Collectives over the memory of a node, on 1 to 8 ranks as threads.
#include "node_suite.h"

#include <gtest/gtest.h>

#include <latch>
#include <optional>

namespace ringmaster::comm {
namespace {

class Node : public testing::TestWithParam<int> {};

TEST_P(Node, AddsInTheOrderOfRanksAndReadsWhatIsPlanned) {
  const suite::Watchdog watchdog;
  EXPECT_NO_THROW(run_ranks(GetParam(), suite::run_node));
}
INSTANTIATE_TEST_SUITE_P(Ranks, Node, testing::Range(1, 9));

std::vector<std::optional<ErrorInfo>> errors_of(int size, const std::function<void(Communicator&, NodeMemory&)>& body) {
  std::vector<std::optional<ErrorInfo>> errors(static_cast<size_t>(size));
  std::latch all_have_ended(size);  // nobody takes memory away that another one still reads
  run_ranks(size,
            [&](Communicator& comm) {
              NodeMemory memory(comm, "node", {.bytes = 4096});
              try {
                body(comm, memory);
              } catch (const Error& error) { errors[static_cast<size_t>(comm.rank())] = error.info(); }
              all_have_ended.arrive_and_wait();
            },
            {.timeout_s = 0.3});
  return errors;
}

TEST(NodeFailure, ARankThatNeverCallsIsNamed) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(3, [](Communicator& comm, NodeMemory& memory) {
    if (comm.rank() == 1) {
      comm.next_sequence();
      return;
    }
    NodeCollective collective(memory);
    collective.start_reduce_scatter({.name = "gradients.bucket2", .elements = 100});
    collective.wait();
  });
  EXPECT_FALSE(errors[1].has_value());
  for (const size_t rank : {0U, 2U}) {
    ASSERT_TRUE(errors[rank].has_value());
    EXPECT_EQ(errors[rank]->kind, ErrorKind::timeout);
    EXPECT_NE(errors[rank]->message.find("`gradients.bucket2`"), std::string::npos) << errors[rank]->message;
    EXPECT_NE(errors[rank]->message.find("for rank 1 "), std::string::npos) << errors[rank]->message;
  }
}

TEST(NodeFailure, ACallThatDiffersIsRefusedByAllRanks) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(3, [](Communicator& comm, NodeMemory& memory) {
    NodeCollective collective(memory);
    collective.start_all_reduce({.name = "bucket", .elements = comm.rank() == 2 ? 99 : 100}, NodeCollective::in_place);
    collective.wait();
  });
  for (const auto& error : errors) {
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind, ErrorKind::rank);
    EXPECT_NE((error->found + error->expected).find("99 x f32"), std::string::npos) << error->found;
  }
}

TEST(NodeFailure, MemoryThatTheMachineLacksIsRefused) {
  EXPECT_NO_THROW(run_ranks(2, [](Communicator& comm) {
    try {
      const NodeMemory memory(comm, "gradients", {.bytes = int64_t{1} << 50});
      suite::require(false, "it was granted");
    } catch (const Error& error) {
      suite::require(error.info().kind == ErrorKind::memory, error.info().message);
      suite::require(error.info().message.find("`gradients`") != std::string::npos, error.info().message);
    }
  }));
}

}  // namespace
}  // namespace ringmaster::comm
