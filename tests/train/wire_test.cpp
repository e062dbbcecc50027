// SPDX-License-Identifier: Apache-2.0
#include "train/wire.h"

#include "tests/train/tiny_run.h"

#include <array>

namespace ringmaster::train {
namespace {

TEST(Wire, AllRanksThrowTheErrorOfTheLowestThatFailed) {
  std::array<ErrorInfo, 4> seen;
  comm::run_ranks(4, [&](comm::Communicator& comm) {
    Wire wire(comm);
    seen[static_cast<size_t>(comm.rank())] = error_of([&] {
      wire.agree("load", [&] {
        if (comm.rank() < 2) return;
        throw Error({.kind = ErrorKind::data,
                     .message = fmt::format("disk {} is gone", comm.rank()),
                     .file = "/mnt/\xff",
                     .line = 3,
                     .cure = "mount it"});
      });
    });
  });
  for (const ErrorInfo& e : seen) {
    EXPECT_EQ(e.kind, ErrorKind::data);
    EXPECT_NE(e.message.find("rank 2 on"), std::string::npos) << e.message;
    EXPECT_NE(e.message.find("disk 2 is gone"), std::string::npos) << e.message;
    EXPECT_EQ(e.line, 3);
    EXPECT_EQ(e.cure, "mount it");
  }
}

TEST(Wire, PlansEverythingThatItSends) {
  for (const int ranks : {1, 2, 3, 5}) {
    comm::run_ranks(ranks, [&](comm::Communicator& comm) {
      Wire wire(comm);
      std::array<int64_t, 7> counts{};
      counts.fill(comm.rank());
      wire.sum("counts", counts);
      EXPECT_EQ(counts.back(), ranks * (ranks - 1) / 2);
      const auto names = wire.gather("names", std::string(static_cast<size_t>(comm.rank()), 'x'));
      EXPECT_EQ(names.back().size(), static_cast<size_t>(ranks - 1));
      wire.agree("nothing", [] {});
      EXPECT_EQ(wire.planned().sent, comm.traffic().payload);
    });
  }
}

}  // namespace
}  // namespace ringmaster::train
