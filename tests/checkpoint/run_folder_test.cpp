// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/run_folder.h"

#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <optional>

namespace ringmaster::checkpoint {

TEST(RunFolder, IsCreatedWithItsParentsAndMarked) {
  const TempFolder folder;
  const RunFolder run = RunFolder::claim(folder / "runs/a", "1.2.3");
  EXPECT_EQ(run.path(), folder / "runs/a");
  const auto marker = nlohmann::json::parse(read_file(folder / "runs/a/ringmaster.run"));
  EXPECT_EQ(marker["ringmaster"], "run");
  EXPECT_EQ(marker["version"], "1.2.3");
}

TEST(RunFolder, ASecondClaimIsRefusedNamingTheHolder) {
  const TempFolder folder;
  std::optional<RunFolder> first = RunFolder::claim(folder.path(), "1");
  const ErrorInfo info = error_of([&] { RunFolder::claim(folder.path(), "1"); });
  EXPECT_EQ(exit_code(info.kind), 2);
  EXPECT_NE(info.message.find(fmt::format("process {} on ", ::getpid())), std::string::npos) << info.message;
  first.reset();
  EXPECT_NO_THROW(RunFolder::claim(folder.path(), "2"));
}

TEST(RunFolder, ForeignFilesAreRefusedAndLeftAlone) {
  const TempFolder folder;
  write_file_atomic(folder / "thesis.tex", "...");
  const ErrorInfo info = error_of([&] { RunFolder::claim(folder.path(), "1"); });
  EXPECT_EQ(exit_code(info.kind), 2);
  EXPECT_NE(info.message.find("thesis.tex"), std::string::npos);
  EXPECT_EQ(list_folder(folder.path()), std::vector<std::string>{"thesis.tex"});
  EXPECT_EQ(error_of([&] { RunFolder::claim(folder / "thesis.tex", "1"); }).kind, ErrorKind::config);
}

TEST(RunFolder, ACheckRefusesWhatAClaimWouldAndChangesNothing) {
  const TempFolder folder;
  RunFolder::check(folder / "fresh");
  EXPECT_TRUE(list_folder(folder.path()).empty());
  write_file_atomic(folder / "thesis.tex", "...");
  EXPECT_EQ(error_of([&] { RunFolder::check(folder.path()); }).kind, ErrorKind::config);
  std::optional<RunFolder> held = RunFolder::claim(folder / "run", "1");
  EXPECT_NE(error_of([&] { RunFolder::check(folder / "run"); }).message.find("live run"), std::string::npos);
  held.reset();
  RunFolder::check(folder / "run");
  EXPECT_NO_THROW(RunFolder::claim(folder / "run", "1"));  // a check keeps no lock
}

TEST(RunFolder, AnEmptyMarkerOfADeadStartIsTakenOver) {
  const TempFolder folder;
  write_file_atomic(folder / "ringmaster.run", "");
  EXPECT_NO_THROW(RunFolder::claim(folder.path(), "1"));
}

TEST(RunFolder, AMarkerThatIsALinkIsRefused) {
  const TempFolder folder;
  write_file_atomic(folder / "precious", "x");
  make_folders(folder / "run");
  std::filesystem::create_symlink(folder / "precious", folder / "run/ringmaster.run");
  EXPECT_EQ(error_of([&] { RunFolder::claim(folder / "run", "1"); }).kind, ErrorKind::config);
  EXPECT_EQ(read_file(folder / "precious"), "x");
}

TEST(RunFolder, AKilledHolderFreesIt) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunFolder run = RunFolder::claim(folder.path(), "1");
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const ErrorInfo info = error_of([&] { RunFolder::claim(folder.path(), "1"); });
  EXPECT_NE(info.message.find(fmt::format("process {} on ", child)), std::string::npos) << info.message;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(RunFolder::claim(folder.path(), "1"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RunFolder, OfEightRacingStartsOneWins) {
  const TempFolder folder;
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const RunFolder run = RunFolder::claim(folder / "run", "1");
        char byte = 0;
        ::close(gate[1]);
        ::_exit(::read(gate[0], &byte, 1) == 0 ? 0 : 3);  // holds it until all have tried
      } catch (const Error& e) { ::_exit(exit_code(e.info().kind)); }
    }
    children.push_back(child);
  }
  int wins = 0, refusals = 0, left = 8;
  // The losers end by themselves; the winner waits for the gate.
  for (; left > 1; --left) {
    int status = 0;
    ::waitpid(-1, &status, 0);
    refusals += WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 1 : 0;
  }
  ::close(gate[1]);
  int status = 0;
  ::waitpid(-1, &status, 0);
  wins += WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 1 : 0;
  ::close(gate[0]);
  EXPECT_EQ(refusals, 7);
  EXPECT_EQ(wins, 1);
}

}  // namespace ringmaster::checkpoint
