// SPDX-License-Identifier: Apache-2.0
#include "launcher/job.h"

#include "core/error.h"
#include "core/program.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace ringmaster::launcher {
namespace {

int64_t count_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
}

}  // namespace

void refuse_lone_tasks() {
  if (comm::launched_by_mpi() || std::getenv("SLURM_PROCID") == nullptr) return;
  // A batch script is task 0 of a job of any size and may start ranks; a step of several tasks is what srun makes.
  const bool is_step = std::getenv("SLURM_STEP_NUM_TASKS") != nullptr;
  const int64_t tasks = count_in(is_step ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
  if (tasks <= 1 || (!is_step && count_in("SLURM_PROCID") == 0)) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format(
                   "this is one of {} tasks of srun, but srun did not tell them how to reach each other", tasks),
               .found = fmt::format("{} tasks without PMIX_RANK in their environment", tasks),
               .expected = "a job of MPI ranks",
               .cure = fmt::format("start them by `srun --mpi=pmix`, or one task that starts them: `srun -n 1 {} train "
                                   "CONFIG --ranks {}`",
                                   program_name(), tasks)});
}

void let_rank_0_speak_first() {
  const char* rank = std::getenv("PMIX_RANK");
  if (rank != nullptr && std::string_view(rank) != "0")
    std::this_thread::sleep_for(std::chrono::seconds(5));  // mpirun takes one or two to end a job
}

void die_with_parent() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before it could be watched
}

std::unique_ptr<comm::Communicator> join_job(const Arguments& arguments, const comm::Options& options) {
  if (!comm::launched_by_mpi()) return comm::make_single(options);
  die_with_parent();
  auto comm = comm::make_mpi(options);
  const auto ranks = arguments.integer("--ranks");
  if (ranks && *ranks != comm->size()) {
    comm->finalize();
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--ranks {}` in a job of {} ranks", *ranks, comm->size()),
                 .key = "--ranks",
                 .found = fmt::format("{}", *ranks),
                 .expected = fmt::format("{}", comm->size()),
                 .cure = "leave --ranks away: under mpirun and srun the job decides"});
  }
  return comm;
}

comm::Options comm_options(const config::Config& config) {
  return {.timeout_s = config.comm.timeout_s, .segment_bytes = config.comm.segment_bytes};
}

}  // namespace ringmaster::launcher
