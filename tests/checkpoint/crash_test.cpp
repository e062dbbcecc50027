// SPDX-License-Identifier: Apache-2.0
// A writer that dies at any instant, or whose disk fails, leaves the previous checkpoint or the new one, never neither.
#include "checkpoint/store.h"
#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace ringmaster::checkpoint {
namespace {

constexpr int keep = 2;

void commit_step(const Path& run, int64_t step, const CommitOptions& options = {.keep_latest_k = keep}) {
  Sample sample(step);
  commit(run, sample.content(), options);
}

// Steps 1 and 2 are committed and 3 was interrupted. True if 3 is there.
bool check_old_or_new(const Path& run) {
  const auto found = latest(run);
  if (!found) {
    ADD_FAILURE() << "no checkpoint is left";
    return false;
  }
  EXPECT_TRUE(found->step == 2 || found->step == 3) << found->step;
  EXPECT_EQ(open(found->path).state()["step"], found->step);
  for (const Found& each : list(run)) EXPECT_TRUE(verify(each.path).valid) << each.path;
  return found->step == 3;
}

void check_next_commit_cleans_up(const Path& run) {
  commit_step(run, 4);
  EXPECT_EQ(latest(run)->step, 4);
  for (const std::string& name : list_folder(run / "checkpoint")) EXPECT_FALSE(name.starts_with('.')) << name;
}

// Runs `act` in a child process; returns its wait status.
template <typename Act> int in_child(const Act& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = act();
    } catch (...) {}
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

// A child commits step 3 and is killed when it enters its system call number `calls`; false if it ended before that.
bool kill_after(const Path& run, int calls) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    try {
      commit_step(run, 3);
    } catch (...) { ::_exit(1); }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  for (int stops = 0; stops < 2 * calls + 1 && !WIFEXITED(status); ++stops) {  // each call stops at its entry and exit
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
  }
  if (WIFEXITED(status)) {
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return false;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return true;
}

}  // namespace

TEST(Crash, KilledAtEachFailpoint) {
  for (int last = 1;; ++last) {
    SCOPED_TRACE(last);
    const TempFolder run;
    commit_step(run.path(), 1);
    commit_step(run.path(), 2);
    const int status = in_child([&] {
      int calls = 0;
      commit_step(run.path(), 3, {.keep_latest_k = keep, .hook = [&](std::string_view) {
                                    if (++calls == last) ::raise(SIGKILL);
                                  }});
      return 0;
    });
    check_old_or_new(run.path());
    check_next_commit_cleans_up(run.path());
    if (!WIFSIGNALED(status)) {
      EXPECT_EQ(last, 9);  // 6 files, commit, prune, and the one that did not come
      break;
    }
  }
}

TEST(Crash, KilledAtEverySystemCall) {
  const TempFolder start;
  commit_step(start.path(), 1);
  commit_step(start.path(), 2);
  bool old = false, fresh = false;
  for (int calls = 0;; ++calls) {
    SCOPED_TRACE(calls);
    const TempFolder run;
    std::filesystem::copy(start.path(), run.path(), std::filesystem::copy_options::recursive);
    const bool killed = kill_after(run.path(), calls);
    (check_old_or_new(run.path()) ? fresh : old) = true;
    if (calls % 10 == 0) check_next_commit_cleans_up(run.path());
    if (!killed || testing::Test::HasFailure()) break;
  }
  EXPECT_TRUE(old);
  EXPECT_TRUE(fresh);
}

// The step is there already and nothing else is: in no instant may it be gone.
TEST(Crash, KilledWhileItReplacesTheOnlyCheckpoint) {
  const TempFolder start;
  commit_step(start.path(), 3);
  for (int calls = 0;; ++calls) {
    SCOPED_TRACE(calls);
    const TempFolder run;
    std::filesystem::copy(start.path(), run.path(), std::filesystem::copy_options::recursive);
    const bool killed = kill_after(run.path(), calls);
    check_old_or_new(run.path());
    if (!killed || testing::Test::HasFailure()) break;
  }
}

TEST(Crash, AFileThatCannotGrowFailsTheCommitAlone) {
  const TempFolder run;
  commit_step(run.path(), 2);
  for (const rlim_t limit : {0, 10, 4096, 4100, 4200}) {
    const int status = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit small{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &small);
      try {
        commit_step(run.path(), 3);
      } catch (const Error& e) { return e.info().kind == ErrorKind::io ? 7 : 8; }
      return 9;
    });
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7) << limit;
    EXPECT_EQ(list_folder(run / "checkpoint"), std::vector<std::string>{"step-00000002"});
    EXPECT_TRUE(verify(run / "checkpoint/step-00000002").valid);
  }
  commit_step(run.path(), 3);
  EXPECT_EQ(latest(run.path())->sequence, 2);  // what failed has used up no number
}

}  // namespace ringmaster::checkpoint
