// SPDX-License-Identifier: Apache-2.0
#include "train/comm_choice.h"

#include "tests/train/tiny_run.h"
#include "train/plan_report.h"

#include <cstdlib>

namespace ringmaster::train {
namespace {

class CommChoice : public testing::Test {
 protected:
  CommChoice() { ::setenv("RINGMASTER_CACHE_DIR", (folder_ / "cache").c_str(), 1); }
  ~CommChoice() override { ::unsetenv("RINGMASTER_CACHE_DIR"); }

  // What the ranks have chosen, all the same, and the bytes that rank 0 has sent for it, all of them foretold.
  static std::pair<comm::Choice, int64_t> chosen(int ranks, const std::string& algorithm) {
    std::vector<comm::Choice> choices(static_cast<size_t>(ranks));
    int64_t bytes = 0;
    comm::run_ranks(ranks, [&](comm::Communicator& comm) {
      Wire wire(comm);
      choose_algorithms(wire, {.algorithm = algorithm});
      choices[static_cast<size_t>(comm.rank())] = comm.choice();
      EXPECT_EQ(wire.planned().sent, comm.traffic().payload);
      if (comm.rank() == 0) bytes = comm.traffic().payload.bytes;
    });
    for (const comm::Choice& choice : choices) {
      EXPECT_EQ(choice.wanted, choices.front().wanted);
      EXPECT_EQ(choice.costs, choices.front().costs);
    }
    return {choices.front(), bytes};
  }
  std::vector<Path> kept() const {
    std::vector<Path> files;
    if (std::filesystem::exists(folder_ / "cache" / "costs"))
      for (const auto& file : std::filesystem::directory_iterator(folder_ / "cache" / "costs"))
        files.push_back(file.path());
    return files;
  }

 private:
  TempFolder folder_;
};

TEST_F(CommChoice, MeasuresOnceForASetOfMachines) {
  const auto [first, measuring] = chosen(3, "auto");
  EXPECT_EQ(first.wanted, comm::Algorithm::automatic);
  ASSERT_EQ(kept().size(), 1U);
  const auto [second, reading] = chosen(3, "auto");
  EXPECT_EQ(second.costs, first.costs);
  EXPECT_LT(reading, 10'000);
  EXPECT_GT(measuring, 10'000'000);
  EXPECT_EQ(known_choice({}, 3).costs, first.costs);  // what a plan says before the next run
  EXPECT_EQ(known_choice({}, 4).costs, comm::Costs{});

  TinyRun::write(kept().front(), "ringmaster.comm-costs/1 spoilt\n");
  EXPECT_GT(chosen(3, "auto").second, 10'000'000);
}

TEST_F(CommChoice, MeasuresNothingWhereThereIsNothingToChoose) {
  for (const char* algorithm : {"ring", "halving", "tree"}) {
    const auto [choice, bytes] = chosen(3, algorithm);
    EXPECT_STREQ(comm::name(choice.wanted), algorithm);
    EXPECT_EQ(bytes, 0);
  }
  EXPECT_EQ(chosen(2, "auto").second, 0);
  EXPECT_TRUE(kept().empty());
}

TEST_F(CommChoice, ARunHasTheSameBitsByEveryAlgorithm) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  for (const char* algorithm : {"auto", "ring", "halving", "tree"}) {
    const TinyRun other;
    ASSERT_EQ(other.train(3, {fmt::format("comm.algorithm={}", algorithm), "comm.shared_memory=false"}), 0);
    EXPECT_EQ(other.summary()["state_hash"], run.summary()["state_hash"]) << algorithm;
    EXPECT_EQ(other.losses(), run.losses()) << algorithm;
    EXPECT_EQ(other.summary()["wire_bytes_sent_planned"], other.summary()["wire_bytes_sent_measured"]) << algorithm;
  }
}

TEST_F(CommChoice, APlanSaysByWhichAlgorithmEachBucketIsSummed) {
  const TinyRun run;
  for (const auto algorithm : comm::algorithms) {
    const std::string name = comm::name(algorithm);
    const config::Resolved resolved = run.resolved({"comm.algorithm=" + name, "comm.shared_memory=false"});
    const PlanReport report = plan(resolved, {.ranks = 3, .choice = known_choice(resolved.config.comm, 3)});
    ASSERT_FALSE(report.collectives.empty());
    for (const PlannedCollective& one : report.collectives) {
      EXPECT_EQ(one.algorithm, name);
      EXPECT_GT(one.bytes, 0);
    }
    EXPECT_EQ(to_json(report)["collectives"][0]["algorithm"], name);
    const PlanReport shared = plan(run.resolved({"comm.algorithm=" + name}), {.ranks = 3});
    EXPECT_EQ(shared.collectives.front().algorithm, "node");
    EXPECT_NE(to_text(report).find(" by " + name), std::string::npos);
  }
}

}  // namespace
}  // namespace ringmaster::train
