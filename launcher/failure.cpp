// SPDX-License-Identifier: Apache-2.0
#include "launcher/failure.h"

#include "checkpoint/store.h"
#include "config/show.h"
#include "core/program.h"
#include "launcher/output.h"
#include "train/machine.h"
#include "train/run_files.h"
#include "train/session.h"
#include "train/summary.h"
#include "train/train.h"

#include <csignal>
#include <cstring>

namespace ringmaster::launcher {
namespace {

constexpr const char* phase = "train";

std::string killed_by(int signal) { return fmt::format("killed by signal {} ({})", signal, ::strsignal(signal)); }

train::Failure describe(const Ended& ended, int ranks, const Path& folder) {
  const std::string from_outside = fmt::format(
      "somebody ended it: a person, the job system, or the kernel when memory ran out (see `dmesg`, and `{} plan` for "
      "what a rank needs)",
      program_name());
  train::Failure failure{.ranks = ranks, .host = train::host_name(), .phase = phase, .cure = from_outside};
  if (ended.lost) {
    const Lost& lost = *ended.lost;
    failure.rank = lost.rank;
    failure.host = lost.host;
    failure.cause = killed_by(lost.signal);
    if (lost.signal != SIGKILL && lost.signal != SIGTERM) {
      failure.cure =
          fmt::format("this is a bug of ringmaster or of a library: please report it with what it said above and {}",
                      (folder / "logs" / fmt::format("rank-{:05}.log", lost.rank)).string());
    }
  } else if (ended.status > 128) {
    failure.cause = "mpirun was " + killed_by(ended.status - 128);
  } else {
    failure.cause = fmt::format("mpirun ended with exit code {}", ended.status);
    failure.cure = fmt::format("`{} doctor` tries mpirun on this machine", program_name());
  }
  return failure;
}

std::string saved(const Path& folder) {
  try {
    const auto found = checkpoint::list(folder);
    if (!found.empty() && found.back().problem.empty()) {
      return fmt::format("step {}; the same command goes on from there", found.back().step);
    }
  } catch (const Error&) {
    return "";  // no folder of checkpoints
  }
  return "";
}

// The last whole line about a step in metrics.jsonl, null if there is none. Only the end of the file is read.
train::Json last_step(const Path& folder) {
  train::Json last;
  try {
    const File file = File::open_read(folder / "metrics.jsonl");
    const int64_t begin = std::max<int64_t>(0, file.size() - 65536);
    std::string tail(static_cast<size_t>(file.size() - begin), '\0');
    file.pread_exact(std::as_writable_bytes(std::span(tail)), begin);
    for (size_t at = begin == 0 ? 0 : tail.find('\n') + 1; at < tail.size();) {
      const size_t end = std::min(tail.find('\n', at), tail.size());
      train::Json line = train::Json::parse(std::string_view(tail).substr(at, end - at), nullptr, false);
      if (line.is_object() && line.value("kind", "") == "step") last = std::move(line);
      at = end + 1;
    }
  } catch (const Error&) {
    return last;  // no metrics, no step
  }
  return last;
}

// What only the ranks knew is null.
train::Json summary(const config::Config& config, const train::Json& step) {
  const train::Facts facts{
      .ranks = static_cast<int>(config.launch.ranks),
      .threads = train::threads_per_rank(config.launch.threads_per_rank, static_cast<int>(config.launch.ranks)),
      .parameters = train::make_recipe(config)->num_parameters(),
      .cpu = train::cpu_name(),
      .isa = train::isa(),
      .version = train::version(),
      .build_hash = train::build_hash(),
      .config_hash = config::config_hash(config)};
  train::Progress progress;
  if (step.is_object()) {
    progress.state.step = step.value("step", int64_t{0});
    if (step.contains("loss") && step["loss"].is_number()) progress.loss = step["loss"].get<double>();
  }
  train::Json json =
      train::summary_json({.status = "failed", .exit_code = 1}, facts, progress,
                          std::vector<std::optional<train::RankNumbers>>(static_cast<size_t>(facts.ranks)));
  for (const char* field : {"wall_seconds", "data_hash", "plan_hash"}) json[field] = nullptr;
  return json;
}

train::Json read_json(const Path& path) { return train::Json::parse(read_file(path)); }

std::string indented(const std::string& text) {
  std::string out = "    ";
  for (const char c : text) out += c == '\n' ? std::string("\n    ") : std::string(1, c);
  return out.substr(0, out.find_last_not_of(" \n") + 1);
}

}  // namespace

RunFiles::RunFiles(Path folder) : folder_(std::move(folder)) {
  for (const char* name : {"launch.json", "failure.json", "summary.json"}) before_[name] = stamp(name);
}

RunFiles::Stamp RunFiles::stamp(const char* name) const {
  struct stat status {};
  if (::stat((folder_ / name).c_str(), &status) != 0) return {};
  return {status.st_ino, status.st_mtim};
}

bool RunFiles::written(const char* name) const {
  const Stamp now = stamp(name);
  const Stamp& then = before_.at(name);
  return now.inode != 0 && (now.inode != then.inode || now.modified.tv_sec != then.modified.tv_sec ||
                            now.modified.tv_nsec != then.modified.tv_nsec);
}

int tell_closed_run(const RunFiles& files) {
  const int code = read_json(files.folder() / "summary.json").at("exit_code").get<int>();
  note("mpirun did not end within 10 s of its ranks, as where a host can not be reached, and was ended");
  if (files.written("failure.json")) {
    const train::Json failure = read_json(files.folder() / "failure.json");
    report({.kind = ErrorKind::rank,
            .message = fmt::format("rank {} on {}: {}", failure.at("rank").get<int>(),
                                   failure.at("host").get<std::string>(), failure.at("cause").get<std::string>()),
            .cure = failure.at("cure").is_string() ? failure.at("cure").get<std::string>() : ""});
  }
  return code;
}

void close_failed_run(const RunFiles& files, const Ended& ended, const config::Config& config) {
  const bool started = files.written("launch.json");
  if (!started && !ended.lost) {  // what went wrong is between mpirun and this machine
    report({.kind = ErrorKind::rank,
            .message = fmt::format("mpirun could not start {} ranks", config.launch.ranks) +
                       (ended.said.empty() ? "" : "; it says:\n" + indented(ended.said)),
            .cure = fmt::format("`{} doctor` tries mpirun on this machine", program_name())});
    return;
  }
  const train::Json step = last_step(files.folder());
  train::Failure failure = describe(ended, static_cast<int>(config.launch.ranks), config.output.dir);
  failure.step = (step.is_object() ? step.value("step", int64_t{0}) : 0) + 1;
  failure.saved = saved(files.folder());
  chatter(train::to_text(failure));
  if (!started) return;  // what lies in the folder is of another attempt
  try {
    if (!files.written("failure.json")) train::write_json(files.folder() / "failure.json", train::to_json(failure));
    if (!files.written("summary.json")) train::write_json(files.folder() / "summary.json", summary(config, step));
  } catch (const Error& e) {
    report(e.info());  // the run failed for the reason above
  }
}

}  // namespace ringmaster::launcher
