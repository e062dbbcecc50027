// SPDX-License-Identifier: Apache-2.0
// job: what this process is. A rank if PMIX_RANK is in the environment, which mpirun and `srun --mpi=pmix` set; else the
// program that a person started, which may start ranks. Nothing else of the environment decides that.
#pragma once
#include "comm/comm.h"
#include "config/config.h"
#include "launcher/arguments.h"

#include <memory>

namespace ringmaster::launcher {

// Throws (usage) in a task of `srun` without PMI: N of them would train N separate models into one folder.
void refuse_lone_tasks();

// Before an error that every rank may have met is printed: ranks other than 0 wait some seconds. If rank 0 has it too, that
// ends the job in the meantime, and it is said once.
void let_rank_0_speak_first();

// In a rank: dies with the process that started it, so that no rank outlives its job.
void die_with_parent();

// The communicator of this process: MPI in a rank, else a single rank that never calls MPI. Throws (usage) if --ranks
// names another number than the job has. Blocks.
std::unique_ptr<comm::Communicator> join_job(const Arguments& arguments, const comm::Options& options = {});

comm::Options comm_options(const config::Config& config);

}  // namespace ringmaster::launcher
