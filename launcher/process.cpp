// SPDX-License-Identifier: Apache-2.0
#include "launcher/process.h"

#include "core/error.h"
#include "core/file.h"
#include "train/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

extern char** environ;

namespace ringmaster::launcher {
namespace {

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw errno_error("cannot make a pipe", "");
    read = ends[0];
    write = ends[1];
  }
};

constexpr const char* usual_path = "/usr/local/bin:/usr/bin:/bin";  // where PATH is not set

// With an MPI job around us in its environment, mpirun would take itself for one of its ranks.
std::vector<char*> environment_of_child() {
  std::vector<char*> kept;
  static std::string path = fmt::format("PATH={}", usual_path);
  if (std::getenv("PATH") == nullptr) kept.push_back(path.data());
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("OMPI_") && !text.starts_with("PMIX_") && !text.starts_with("OMP_NUM_THREADS="))
      kept.push_back(*entry);
  }
  kept.push_back(nullptr);
  return kept;
}

// In the child between fork and exec: system calls only, another thread of the parent may hold any lock.
[[noreturn]] void become(char** words, char** environment, int out, int err, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execve(words[0], words, environment);
  ::_exit(127);
}

}  // namespace

std::string find_in_path(const std::string& program) {
  const char* variable = std::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : usual_path;
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    const std::string candidate = fmt::format("{}/{}", path.substr(0, end), program);
    if (end > 0 && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return "";
}

Process::Process(const std::vector<std::string>& line) {
  std::vector<char*> words;
  for (const std::string& word : line) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::vector<char*> environment = environment_of_child();
  const Pipe out, err;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(words.data(), environment.data(), out.write, err.write, parent);
  ::close(out.write);
  ::close(err.write);
  out_ = out.read;
  err_ = err.read;
  if (pid_ < 0) throw errno_error("cannot start a process for", line[0]);
}

Process::~Process() {
  ::close(out_);
  ::close(err_);
}

bool Process::ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_.has_value();
}

int Process::wait() {
  int status = 0;
  while (!status_) {
    if (::waitpid(pid_, &status, 0) >= 0 || errno != EINTR) status_ = status;
  }
  return WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
}

Captured capture(const std::vector<std::string>& line) {
  constexpr int look_every_ms = 50;
  Captured captured;
  Process process(line);
  std::array<pollfd, 2> ends{
      {{.fd = process.out(), .events = POLLIN, .revents = 0}, {.fd = process.err(), .events = POLLIN, .revents = 0}}};
  const std::array<std::string*, 2> texts{&captured.out, &captured.err};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    ::poll(ends.data(), ends.size(), look_every_ms);
    // The last value and not the highest: before exec the child shows our own memory. ru_maxrss keeps even that.
    if (const int64_t peak = train::peak_resident_bytes(process.pid()); peak > 0) captured.peak_resident_bytes = peak;
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t got = ::read(ends[i].fd, buffer.data(), buffer.size());
      if (got > 0)
        texts[i]->append(buffer.data(), static_cast<size_t>(got));
      else if (got == 0 || errno != EINTR)
        ends[i].fd = -1;
    }
  }
  captured.status = process.wait();
  return captured;
}

}  // namespace ringmaster::launcher
