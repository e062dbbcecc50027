// SPDX-License-Identifier: Apache-2.0
// train: as the launcher, checks the run and starts its ranks; as a rank, trains. One rank alone is both in one process.
#include "train/train.h"
#include "train/stop.h"

#include "core/program.h"
#include "launcher/commands.h"
#include "launcher/failure.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace ringmaster::launcher {
namespace {

train::TrainOptions options_of(const Arguments& arguments) {
  train::TrainOptions options;
  const std::string resume = arguments.value("--resume").value_or("auto");
  if (resume == "never") options.resume = train::Resume::never;
  if (resume != "never" && resume != "auto") {
    std::error_code ignored;  // what can not be read is told apart when it is opened
    if (std::filesystem::status(resume, ignored).type() == std::filesystem::file_type::not_found) {
      throw Error({.kind = ErrorKind::usage,
                   .message = fmt::format("there is no `{}` to resume from", resume),
                   .key = "--resume",
                   .found = resume,
                   .expected = "auto, never, a run folder or a checkpoint folder",
                   .cure = "leave --resume out to go on where the run folder's newest checkpoint is"});
    }
    options.resume = train::Resume::folder;
    options.resume_from = resume;
  }
  options.dump_graph = arguments.value("--dump-graph").value_or("");
  options.disabled_passes = arguments.values("--disable-pass");
  options.quiet = arguments.has("--quiet");
  options.resolved = arguments.load_config();
  return options;
}

// For launch.json: what gives this run again. A rank of ours does not get --ranks, and its hidden flags mean nothing later.
std::string command_text(const Arguments& arguments, int ranks) {
  std::vector<std::string> words{program_name()};
  for (const std::string& word : arguments.words()) {
    const Flag* flag = arguments.command().find(word.substr(0, word.find('=')));
    if (flag == nullptr || !flag->doc.empty()) words.push_back(word);
  }
  if (!arguments.has("--ranks") && ranks > 1) words.insert(words.end(), {"--ranks", fmt::format("{}", ranks)});
  return shell_text(words);
}

// Of the terminal behind stderr; -1 if there is none. A rank can not look for itself: mpirun gives it a terminal of its own.
int terminal_columns() {
  if (::isatty(STDERR_FILENO) == 0) return -1;
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int train_as_rank(const Arguments& arguments) {
  const auto launcher = arguments.integer("--launcher-pid");
  if (launcher) ::dup2(STDOUT_FILENO, STDERR_FILENO);  // mpirun.h
  train::TrainOptions options = options_of(arguments);
  options.launcher_pid = launcher.value_or(0);
  options.mpirun_pid = ::getppid();
  options.terminal_columns = static_cast<int>(arguments.integer("--terminal-columns", {-1, 10000}).value_or(0));
  ::signal(SIGUSR1, SIG_IGN);        // once training has ended, a late wish to stop changes nothing
  const train::StopSignals signals;  // before MPI makes threads
  const auto comm = join_job(arguments, comm_options(options.resolved.config));
  options.command = command_text(arguments, comm->size());
  const int code = train::train(options, *comm);
  comm->finalize();
  return code;
}

int launch(const Arguments& arguments, const train::TrainOptions& options) {
  const auto ranks = static_cast<int>(options.resolved.config.launch.ranks);
  const auto line =
      launch_line(ranks, rank_words(arguments, {fmt::format("--launcher-pid={}", ::getpid()),
                                                fmt::format("--terminal-columns={}", terminal_columns())}));
  if (std::getenv("OMP_NUM_THREADS") != nullptr) {  // the ranks do not get it: libgomp would complain once a rank
    note("OMP_NUM_THREADS is ignored: threads come from launch.threads_per_rank");
  }
  const RunFiles files(options.resolved.config.output.dir);
  const Ended ended = run_ranks(line, {.ranks_listen = [&] { return files.written("launch.json"); },
                                       .run_closed = [&] { return files.written("summary.json"); }});
  if (ended.outlived && !ended.interrupted) return tell_closed_run(files);
  const int code = exit_code(ended);
  if (code != 0 && ::isatty(STDERR_FILENO) != 0)
    chatter("\r\x1b[K");  // the live line of a rank that could not clear it
  if (ended.interrupted) {
    note("ended by a second Ctrl-C; the same command goes on from the last checkpoint");
    return code;
  }
  // Ranks that end by themselves have said why; 1 is also what mpirun returns when it fails itself.
  const bool told = ended.status == code &&
                    (code != 1 || files.written("summary.json") || (ended.heard && !files.written("launch.json")));
  if (!told) close_failed_run(files, ended, options.resolved.config);
  return code;
}

}  // namespace

int train(const Arguments& arguments) {
  ::signal(SIGPIPE, SIG_IGN);  // a log that nobody reads must not end a run
  if (comm::launched_by_mpi()) return train_as_rank(arguments);
  train::TrainOptions options = options_of(arguments);
  train::check(options);
  const int64_t ranks = options.resolved.config.launch.ranks;
  if (arguments.has("--dry-run")) {
    std::vector<std::string> alone = rank_words(arguments);
    alone.insert(alone.begin(), program_name());
    const auto line = ranks > 1 ? launch_line(static_cast<int>(ranks), rank_words(arguments)) : alone;
    print(shell_text(line) + "\n");
    return 0;
  }
  if (ranks > 1) return launch(arguments, options);
  const train::StopSignals signals;
  options.command = command_text(arguments, 1);
  const auto comm = comm::make_single(comm_options(options.resolved.config));
  return train::train(options, *comm);
}

}  // namespace ringmaster::launcher
