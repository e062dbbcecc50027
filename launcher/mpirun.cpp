// SPDX-License-Identifier: Apache-2.0
#include "launcher/mpirun.h"

#include "core/error.h"
#include "core/program.h"
#include "launcher/output.h"
#include "launcher/process.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <regex>
#include <set>

namespace ringmaster::launcher {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr seconds time_to_go{10};  // of ranks that have closed the run, and of mpirun behind them
constexpr seconds time_to_die{5};  // behind SIGTERM

volatile std::sig_atomic_t interrupts = 0, wishes = 0;

void on_signal(int signal) {
  wishes = wishes + 1;
  if (signal == SIGINT) interrupts = interrupts + 1;
}

// SIGINT, SIGTERM and SIGHUP are counted, and only arrive inside ppoll: none can slip in between looking and waiting. As long
// as this object lives; one at a time.
class SignalWatch {
 public:
  SignalWatch() {
    interrupts = 0;
    wishes = 0;
    sigset_t blocked;
    sigemptyset(&blocked);
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (size_t i = 0; i < signals.size(); ++i) {
      ::sigaction(signals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler == SIG_IGN) continue;  // nohup
      ::sigaction(signals[i], &action, nullptr);
      sigaddset(&blocked, signals[i]);
    }
    ::sigprocmask(SIG_BLOCK, &blocked, &mask_);
  }
  ~SignalWatch() {
    for (size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &before_[i], nullptr);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  const sigset_t* mask_while_waiting() const { return &mask_; }

 private:
  static constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, signals.size()> before_{};
  sigset_t mask_{};
};

// What mpirun printed, without its rules of dashes and without what it says once a rank.
std::string plain(const std::string& text) {
  std::string out;
  std::set<std::string_view> seen;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of("- \r") == std::string_view::npos || !seen.insert(line).second) continue;
    out += fmt::format("{}\n", line);
  }
  return out;
}

std::optional<Lost> find_lost(const std::string& said) {
  static const std::regex pattern(R"(process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+))");
  std::smatch match;
  if (!std::regex_search(said, match, pattern)) return std::nullopt;
  return Lost{.rank = std::stoi(match[1]), .host = match[2], .signal = std::stoi(match[3])};
}

// The loop above one mpirun: passes on what the ranks print, and our signals.
class Supervisor {
 public:
  Supervisor(const std::vector<std::string>& line, const Signs& signs) : signs_(signs), process_(line) {}

  Ended run() {
    std::array<pollfd, 2> ends{{{.fd = process_.out(), .events = POLLIN, .revents = 0},
                                {.fd = process_.err(), .events = POLLIN, .revents = 0}}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
      const timespec often{.tv_sec = 0, .tv_nsec = 100'000'000}, seldom{.tv_sec = 1, .tv_nsec = 0};
      const bool is_urgent = wish_pending_ || interrupted_at_;
      const int ready = ::ppoll(ends.data(), ends.size(), is_urgent ? &often : &seldom, signals_.mask_while_waiting());
      for (pollfd& end : ends) {
        if (ready > 0 && end.fd >= 0 && end.revents != 0 && !pass_on(end.fd)) end.fd = -1;
      }
      if (process_.ended()) {
        if (ready == 0) break;  // the pipes are open where it left a daemon behind
        continue;
      }
      heed_signals();
      heed_the_end();
    }
    Ended ended{.status = process_.wait(),
                .interrupted = interrupted_at_.has_value(),
                .outlived = outlived_,
                .heard = heard_,
                .said = plain(said_),
                .lost = {}};
    ended.lost = find_lost(ended.said);
    return ended;
  }

 private:
  // false: the stream has ended
  bool pass_on(int descriptor) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got < 0) return errno == EINTR;
    const std::string_view text(buffer.data(), static_cast<size_t>(got));
    if (descriptor == process_.out()) {
      heard_ = heard_ || got > 0;
      chatter(text);
    } else if (said_.size() < 1 << 20) {
      said_ += text;
    }
    return got > 0;
  }

  void heed_signals() {
    if (!wish_seen_ && wishes > 0) wish_seen_ = wish_pending_ = true;
    if (wish_pending_ && signs_.ranks_listen()) {
      ::kill(process_.pid(), SIGUSR1);  // mpirun hands it to every rank
      wish_pending_ = false;
    }
    if (!interrupted_at_ && interrupts > 1) {
      interrupted_at_ = Clock::now();
      ::kill(process_.pid(), SIGTERM);
    }
    if (interrupted_at_ && Clock::now() - *interrupted_at_ > time_to_die) ::kill(process_.pid(), SIGKILL);
  }

  // Behind a network that was cut mpirun waits for its daemons there until TCP gives up, a quarter of an hour.
  void heed_the_end() {
    if (!closed_at_ && signs_.run_closed()) closed_at_ = Clock::now();
    if (!closed_at_ || Clock::now() - *closed_at_ < time_to_go) return;
    ::kill(process_.pid(), Clock::now() - *closed_at_ < time_to_go + time_to_die ? SIGTERM : SIGKILL);
    outlived_ = true;
  }

  const Signs& signs_;
  SignalWatch signals_;  // before the process: it must not miss one
  Process process_;
  std::string said_;
  bool heard_ = false;
  bool wish_seen_ = false, wish_pending_ = false;
  std::optional<Clock::time_point> interrupted_at_;  // of the second Ctrl-C
  std::optional<Clock::time_point> closed_at_;       // as first seen
  bool outlived_ = false;
};

}  // namespace

std::vector<std::string> rank_words(const Arguments& arguments, const std::vector<std::string>& more) {
  const Command& command = arguments.command();
  std::vector<std::string> words;
  for (size_t begin = 0; begin < command.name.size();) {
    const size_t end = std::min(command.name.find(' ', begin), command.name.size());
    words.emplace_back(command.name.substr(begin, end - begin));
    begin = end + 1;
  }
  words.insert(words.end(), more.begin(), more.end());
  // A lone colon separates programs for mpirun, and a dash would begin a flag.
  const std::string& target = arguments.target();
  if (!target.empty()) words.push_back(target == ":" || target.starts_with('-') ? "./" + target : target);
  for (const Flag& flag : command.flags) {
    if (flag.name == "--ranks" || flag.name == "--dry-run") continue;
    for (const std::string& value : arguments.values(flag.name)) {
      words.push_back(flag.value.empty() ? std::string(flag.name) : fmt::format("{}={}", flag.name, value));
    }
  }
  return words;
}

std::vector<std::string> launch_line(int ranks, const std::vector<std::string>& words) {
  const std::string mpirun = find_in_path("mpirun");
  if (mpirun.empty()) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("{} ranks need mpirun, which is not in PATH", ranks),
                 .key = "--ranks",
                 .expected = "OpenMPI's mpirun",
                 .cure = "install it (Debian: apt-get install openmpi-bin), load its module, or use --ranks 1"});
  }
  std::vector<std::string> line{mpirun, "-n", fmt::format("{}", ranks), "--bind-to", "none", "--oversubscribe"};
  if (::geteuid() == 0) line.emplace_back("--allow-run-as-root");
  line.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  line.insert(line.end(), words.begin(), words.end());
  return line;
}

std::string shell_text(const std::vector<std::string>& line) {
  constexpr std::string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string out;
  for (const std::string& word : line) {
    if (!out.empty()) out += ' ';
    if (!word.empty() && word.find_first_not_of(harmless) == std::string::npos) {
      out += word;
      continue;
    }
    out += '\'';
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += '\'';
  }
  return out;
}

Ended run_ranks(const std::vector<std::string>& line, const Signs& signs) { return Supervisor(line, signs).run(); }

int exit_code(const Ended& ended) {
  if (ended.interrupted) return 130;
  return (ended.status >= 0 && ended.status <= 5) || ended.status == 75 ? ended.status : 1;
}

int run_data_job(const Arguments& arguments, int ranks) {
  const auto line = launch_line(ranks, rank_words(arguments, {fmt::format("--launcher-pid={}", ::getpid())}));
  const Captured job = capture(line);
  if (job.status == 0 ||
      (!job.out.empty() && arguments.command().find("--json") != nullptr && arguments.has("--json"))) {
    print(job.out);
    if (job.status == 0) chatter(plain(job.err));  // what rank 0 notes beside its result
  } else if (!job.out.empty()) {
    chatter(job.out);  // rank 0's error
  } else {
    std::string said = plain(job.err);
    throw Error({.kind = ErrorKind::rank,
                 .message = fmt::format("{} ranks ended without a result; mpirun says:\n{}", ranks, said),
                 .cure = fmt::format("`{} doctor` tries mpirun on this machine", program_name())});
  }
  return exit_code({.status = job.status, .said = {}, .lost = {}});
}

}  // namespace ringmaster::launcher
