// SPDX-License-Identifier: Apache-2.0
// Starts mpi_ring under mpirun: the suite on 1 to 8 ranks, the bytes that PMPI sees against the plan, and the ends of jobs
// whose ranks fail.
#include <nlohmann/json.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

using nlohmann::json;

struct Ended {
  int exit_code = -1;
  std::string out;  // stdout and stderr
};

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mpi-ring-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }

 private:
  std::string path_;
};

// Of a surrounding job's environment mpirun must see nothing.
void forget_surrounding_job() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (text.starts_with("OMPI_") || text.starts_with("PMIX_")) names.push_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : names) unsetenv(name.c_str());
}

Ended run(const std::string& command) {
  forget_surrounding_job();
  Ended ended;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> chunk{};
  while (const size_t got = fread(chunk.data(), 1, chunk.size(), pipe)) ended.out.append(chunk.data(), got);
  const int status = pclose(pipe);
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

Ended mpirun(int ranks, const std::string& arguments, const std::string& flags = "") {
  return run(fmt::format("timeout 300 mpirun {} --oversubscribe --bind-to none -n {} {} {} {}",
                         geteuid() == 0 ? "--allow-run-as-root" : "", ranks, flags, RINGMASTER_MPI_RING, arguments));
}

// Ranks that still run. A dead process has no exe link, even before its parent has asked for it.
int ranks_alive() {
  int alive = 0;
  std::error_code gone;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const auto program = std::filesystem::read_symlink(process.path() / "exe", gone);
    if (!gone && program == RINGMASTER_MPI_RING) alive += 1;
  }
  return alive;
}

void expect_no_orphan() {
  for (int tries = 0; tries < 1000 && ranks_alive() > 0; ++tries) usleep(30'000);  // a signal takes its time
  EXPECT_EQ(ranks_alive(), 0);
}

class MpiRing : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, MpiRing, testing::Values(1, 2, 3, 4, 5, 7, 8));

TEST_P(MpiRing, EqualsTheSequentialReference) {
  const Ended ended = mpirun(GetParam(), "suite 64");
  EXPECT_EQ(ended.exit_code, 0) << ended.out;
  EXPECT_NE(ended.out.find(fmt::format("{{\"ok\":true,\"ranks\":{}}}", GetParam())), std::string::npos) << ended.out;
}

TEST(MpiAlgorithms, EqualASerialSumBelowAndAboveTheEagerLimit) {
  for (const int segment_bytes : {512, 65536}) {
    const Ended ended = mpirun(4, fmt::format("algorithms {}", segment_bytes));
    EXPECT_EQ(ended.exit_code, 0) << ended.out;
    EXPECT_NE(ended.out.find("{\"ok\":true,\"ranks\":4}"), std::string::npos) << ended.out;
  }
}

// PMPI counts between the program and MPI: the ring's own counters have no part in it.
void expect_counted(int ranks, int64_t elements) {
  const Folder folder;
  const Ended ended =
      mpirun(ranks, fmt::format("count {}", elements),
             fmt::format("-x LD_PRELOAD={} -x PMPI_COUNT_FILE={}/count", RINGMASTER_PMPI_COUNT, folder.path()));
  ASSERT_EQ(ended.exit_code, 0) << ended.out;
  const json planned = json::parse(ended.out.substr(ended.out.find("{\"ok\"")))["planned"];
  ASSERT_EQ(planned.size(), static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    std::ifstream file(fmt::format("{}/count.{}", folder.path(), rank));
    const json counted = json::parse(file);
    EXPECT_EQ(counted["payload"]["bytes"], planned[rank]["bytes"]) << "rank " << rank;
    EXPECT_EQ(counted["payload"]["count"], planned[rank]["messages"]) << "rank " << rank;
    EXPECT_EQ(counted["headers"]["count"], ranks > 1 ? 1 : 0);
    EXPECT_EQ(counted["messages"]["count"], 0);
    EXPECT_EQ(counted["other_calls"], 2);  // at the start: who shares a node
    if (elements % ranks == 0) {
      EXPECT_EQ(counted["payload"]["bytes"].get<int64_t>() * ranks, 2 * (ranks - 1) * elements * 4) << "rank " << rank;
    }
  }
}

TEST_P(MpiRing, PutsThePlannedBytesOnTheWire) {
  expect_counted(GetParam(), 8 * 7 * 5 * 3 * 1000);
  expect_counted(GetParam(), 1'000'003);
}

TEST(MpiRing64MiB, PutsThePlannedBytesOnTheWire) {
  for (const int ranks : {2, 3, 5, 7, 8}) expect_counted(ranks, 16 << 20);
}

TEST(MpiRing, WorksWithoutMpirun) {
  const Ended ended = run(fmt::format("{} suite", RINGMASTER_MPI_RING));
  EXPECT_EQ(ended.exit_code, 0) << ended.out;
}

TEST(MpiRing, AnAbsentOrStoppedRankEndsTheJobWithTheTimeoutsExitCode) {
  for (const char* how : {"absent", "stopped"}) {
    const Ended ended = mpirun(3, how);
    EXPECT_EQ(ended.exit_code, 5) << how << ": " << ended.out;
    EXPECT_NE(ended.out.find("all_reduce #1 `bucket` on rank "), std::string::npos) << how << ": " << ended.out;
    expect_no_orphan();
  }
}

TEST(MpiRing, AKilledRankEndsTheJob) {
  const Ended ended = mpirun(3, "killed");
  EXPECT_NE(ended.exit_code, 0);
  EXPECT_NE(ended.exit_code, 124) << "mpirun had to be stopped: " << ended.out;
  expect_no_orphan();
}

TEST(MpiRing, ADisagreementNamesBothSides) {
  const Ended ended = mpirun(2, "disagree");
  EXPECT_EQ(ended.exit_code, 1) << ended.out;
  EXPECT_NE(ended.out.find("`bucket` of 100000 x f32"), std::string::npos) << ended.out;
  EXPECT_NE(ended.out.find("`bucket` of 99999 x f32"), std::string::npos) << ended.out;
}

}  // namespace
