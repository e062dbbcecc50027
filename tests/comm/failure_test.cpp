// SPDX-License-Identifier: Apache-2.0
// What ranks do when a peer is late, dead, or calls something else.
#include "ring_suite.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <optional>

namespace ringmaster::comm {
namespace {

using testing::AssertionFailure;
using testing::AssertionSuccess;

testing::AssertionResult holds(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) return AssertionFailure() << "`" << text << "` lacks `" << part << "`";
  }
  return AssertionSuccess();
}

// Runs `body` on every rank and returns each rank's error; one rank's error does not disturb the others.
std::vector<std::optional<ErrorInfo>> errors_of(int size, const std::function<void(Communicator&)>& body,
                                                const Options& options = {}) {
  std::vector<std::optional<ErrorInfo>> errors(static_cast<size_t>(size));
  run_ranks(
      size,
      [&](Communicator& comm) {
        try {
          body(comm);
        } catch (const Error& error) { errors[static_cast<size_t>(comm.rank())] = error.info(); }
      },
      options);
  return errors;
}

TEST(Timeout, NamesTheCollectiveAndTheRankWaitedFor) {
  const suite::Watchdog watchdog;
  std::optional<Waiting> waiting;
  const auto errors = errors_of(3,
                                [&](Communicator& comm) {
                                  std::vector<float> data(300);
                                  comm.next_sequence();
                                  if (comm.rank() == 1) return;  // never calls
                                  try {
                                    all_reduce(comm, vector_of("gradients.bucket5", std::span(data)));
                                  } catch (const TimeoutError& error) {
                                    if (comm.rank() == 2) waiting = error.waiting();
                                    throw;
                                  }
                                },
                                {.timeout_s = 0.2});
  EXPECT_FALSE(errors[1].has_value());
  ASSERT_TRUE(errors[0].has_value() && errors[2].has_value());
  EXPECT_EQ(errors[2]->kind, ErrorKind::timeout);
  EXPECT_EQ(exit_code(errors[2]->kind), 5);
  EXPECT_TRUE(
      holds(errors[2]->message, {"all_reduce #1 `gradients.bucket5`", "on rank 2", "for rank 1", "0 of 1600 bytes"}));
  ASSERT_TRUE(waiting.has_value());
  EXPECT_EQ(waiting->operation, Operation::all_reduce);
  EXPECT_EQ(waiting->sequence, 1U);
  EXPECT_EQ(waiting->peer, 1);
  EXPECT_GE(waiting->seconds, 0.2);
}

TEST(Timeout, CoversEveryBlockingCall) {
  const suite::Watchdog watchdog;
  const std::vector<std::pair<std::string, std::function<void(Communicator&)>>> calls = {
      {"reduce_scatter",
       [](Communicator& c) {
         std::vector<float> d(9);
         reduce_scatter(c, vector_of("t", std::span(d)));
       }},
      {"all_gather",
       [](Communicator& c) {
         std::vector<float> d(9);
         all_gather(c, vector_of("t", std::span(d)));
       }},
      {"broadcast",
       [](Communicator& c) {
         std::vector<float> d(9);
         broadcast(c, vector_of("t", std::span(d)), 1);
       }},
      {"barrier", [](Communicator& c) { barrier(c); }},
      {"message",
       [](Communicator& c) {
         std::byte b{};
         recv(c, {&b, 1}, 1, 0);
       }},
      {"message",
       [](Communicator& c) {
         const std::vector<std::byte> bytes(1000);  // a short one would be buffered
         send(c, bytes, 1, 0);
       }},
      {"all_gather", [](Communicator& c) { all_gather_bytes(c, "t", "x"); }},
  };
  for (const auto& [name, call] : calls) {
    const auto errors = errors_of(2,
                                  [&](Communicator& comm) {
                                    if (comm.rank() == 0) call(comm);
                                  },
                                  {.timeout_s = 0.05});
    ASSERT_TRUE(errors[0].has_value()) << name;
    EXPECT_EQ(errors[0]->kind, ErrorKind::timeout) << name;
    EXPECT_TRUE(holds(errors[0]->message, {name, "on rank 0", "for rank 1"}));
  }
}

TEST(Disagreement, IsRefusedWithBothSides) {
  const suite::Watchdog watchdog;
  const auto sum = [](auto type, int count, const char* name, Reduce reduce) {
    return [=](Communicator& comm) {
      std::vector<decltype(type)> data(static_cast<size_t>(count));
      all_reduce(comm, vector_of(name, std::span(data)), reduce);
    };
  };
  const std::string usual = "all_reduce #0 `x` of 64 x f32, sum";
  const std::vector<std::pair<std::function<void(Communicator&)>, std::string>> others = {
      {sum(0.0F, 65, "x", Reduce::sum), "all_reduce #0 `x` of 65 x f32, sum"},
      {sum(0, 64, "x", Reduce::sum), "all_reduce #0 `x` of 64 x i32, sum"},
      {sum(0.0F, 64, "y", Reduce::sum), "all_reduce #0 `y` of 64 x f32, sum"},
      {sum(0.0F, 64, "x", Reduce::max), "all_reduce #0 `x` of 64 x f32, max"},
      {[](Communicator& comm) { barrier(comm, "x"); }, "barrier #0 `x`"},
      {[](Communicator& comm) {
         std::vector<float> data(64);
         broadcast(comm, vector_of("x", std::span(data)), 2);
       },
       "broadcast #0 `x` of 64 x f32, sum, root 2"},
  };
  for (const auto& [other, text] : others) {
    std::atomic<int> refused = 0;
    const auto errors = errors_of(3, [&](Communicator& comm) {
      if (comm.rank() == 0) {  // whose neighbours' calls agree with its own: it would wait
        comm.on_poll([&] {
          if (refused == 2) throw Error({.message = "enough"});
        });
      }
      try {
        comm.rank() == 1 ? other(comm) : sum(0.0F, 64, "x", Reduce::sum)(comm);
      } catch (...) {
        ++refused;
        throw;
      }
    });
    ASSERT_TRUE(errors[1].has_value() && errors[2].has_value()) << text;
    EXPECT_EQ(errors[2]->kind, ErrorKind::rank);
    EXPECT_TRUE(holds(errors[2]->message, {"rank 2 calls " + usual, "rank 1 calls " + text}));
    EXPECT_TRUE(holds(errors[1]->message, {"rank 0 calls " + usual, "rank 1 calls " + text}));
  }
}

TEST(Disagreement, TwoRootsOfOneBroadcastAreRefused) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(2, [](Communicator& comm) {
    std::vector<float> data(4);
    broadcast(comm, vector_of("weights", std::span(data)), comm.rank());
  });
  for (const auto& error : errors) {
    ASSERT_TRUE(error.has_value());
    EXPECT_TRUE(holds(error->message, {"root 0", "root 1"}));
  }
}

TEST(Disagreement, ALongNameDiffersByItsHash) {
  Header a = make_header("first" + std::string(100, 'x')), b = make_header("other" + std::string(100, 'x'));
  EXPECT_EQ(a.name, b.name);
  EXPECT_NO_THROW(check_same_call(a, 0, a, 1));
  EXPECT_THROW(check_same_call(a, 0, b, 1), Error);
}

TEST(Failure, OneRankEndsTheOthers) {
  const suite::Watchdog watchdog;
  std::array<std::string, 4> said;
  try {
    run_ranks(4, [&](Communicator& comm) {
      std::vector<float> data(1000);
      try {
        for (int step = 0; step < 100; ++step) {
          if (comm.rank() == 3 && step == 2) throw Error({.kind = ErrorKind::data, .message = "no more data"});
          all_reduce(comm, vector_of("step", std::span(data)));
        }
      } catch (const Error& error) {
        said[static_cast<size_t>(comm.rank())] = error.what();
        throw;
      }
    });
    FAIL() << "the failure was swallowed";
  } catch (const Error& error) {
    EXPECT_EQ(error.info().kind, ErrorKind::data);
    EXPECT_STREQ(error.what(), "no more data");
  }
  for (size_t rank = 0; rank < 3; ++rank) EXPECT_EQ(said[rank], "aborted because rank 3 failed");
}

TEST(Message, OfAnotherSizeThanExpectedIsRefused) {
  const suite::Watchdog watchdog;
  const auto errors = errors_of(2, [](Communicator& comm) {
    std::array<std::byte, 8> bytes{};
    if (comm.rank() == 0) send(comm, std::span(bytes).first(5), 1, 3);
    if (comm.rank() == 1) recv(comm, bytes, 0, 3);
  });
  ASSERT_TRUE(errors[1].has_value());
  EXPECT_TRUE(holds(errors[1]->message, {"rank 0 sent 5 bytes", "rank 1 expects 8"}));
}

TEST(Message, FromASecondThreadIsRefused) {
  const suite::Watchdog watchdog;
  run_ranks(2, [](Communicator& comm) {
    std::byte byte{};
    std::string said;
    std::thread([&] {
      try {
        comm.start_recv({&byte, 1}, 1 - comm.rank(), {Lane::message, 0});
      } catch (const Error& error) { said = error.what(); }
    }).join();
    EXPECT_TRUE(holds(said, {"second thread"}));
  });
}

TEST(OnPoll, IsCalledWhileARankWaitsAndMayEndTheWait) {
  const suite::Watchdog watchdog;
  std::atomic<int> calls = 0;
  const auto errors = errors_of(2, [&](Communicator& comm) {
    if (comm.rank() == 1) return;
    comm.on_poll([&] {
      EXPECT_EQ(comm.waiting()->name, "stopped");
      if (++calls == 3) throw Error({.kind = ErrorKind::rank, .message = "stop asked for"});
    });
    std::vector<float> data(10);
    all_reduce(comm, vector_of("stopped", std::span(data)));
  });
  EXPECT_EQ(calls, 3);
  ASSERT_TRUE(errors[0].has_value());
  EXPECT_EQ(errors[0]->message, "stop asked for");
}

TEST(Barrier, NobodyLeavesBeforeEverybodyHasEntered) {
  const suite::Watchdog watchdog;
  for (int size = 1; size <= 8; ++size) {
    std::atomic<int> entered = 0;
    EXPECT_NO_THROW(run_ranks(size, [&](Communicator& comm) {
      for (int round = 1; round <= 50; ++round) {
        ++entered;
        barrier(comm);
        suite::require(entered >= round * size, "a rank left early");
        barrier(comm);
      }
    }));
  }
}

TEST(WireTag, KeepsTheLanesApartAndWithinWhatMpiGuarantees) {
  for (const uint64_t number : {0ULL, 1ULL, 8191ULL, 8192ULL, 16384ULL, 123456789ULL, ~0ULL}) {
    const int header = wire_tag({Lane::header, number}), payload = wire_tag({Lane::payload, number});
    EXPECT_TRUE(header >= 8192 && header < 16384) << number;
    EXPECT_TRUE(payload >= 16384 && payload <= 32767) << number;
  }
  EXPECT_EQ(wire_tag({Lane::message, 8191}), 8191);
  EXPECT_THROW(wire_tag({Lane::message, 8192}), Error);
}

}  // namespace
}  // namespace ringmaster::comm
