// SPDX-License-Identifier: Apache-2.0
// plan_report: what a run will hold and send, out of its compiled programs alone: no MPI, no data, no arena.
#pragma once
#include "config/load.h"
#include "ir/placement.h"
#include "train/advice.h"
#include "train/comm_choice.h"
#include "train/frontier.h"
#include "train/recompute_report.h"
#include "train/timeline.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ringmaster::train {

struct PlanOptions {
  int ranks = 1;
  int threads = 0;  // a rank; 0: launch.threads_per_rank, and if that is auto, what this machine gives `ranks` ranks
  int64_t memory_bytes =
      0;          // --memory, a rank, whose node counts what its ranks share once; 0: the limit of this machine
  int sweep = 0;  // so many budgets, 2 or more; 0: none
  cost::Table costs = {};    // of `threads`; empty: estimates
  comm::Choice choice = {};  // of collectives
};

struct RankPlan {
  int rank = 0;
  int64_t grains = 0;
  int64_t peak_bytes = 0;                          // of the highest program
  std::map<ir::Category, int64_t> by_category;     // of that program; adds up to peak_bytes
  int64_t process_bytes = 0;                       // most that the process holds (VmHWM)
  int64_t node_share_bytes = 0;                    // and its share of what all ranks of the node hold
  int64_t wire_bytes_sent = 0, messages_sent = 0;  // a step
  int64_t node_bytes_read = 0;                     // a step; of the memory of other ranks of the node
  int64_t gemm_flops = 0;                          // a step
};

struct PlanReport {
  std::string name;  // of the config
  int ranks = 1, threads = 1;
  std::string compute, isa, plan_hash;  // compute: dtype of products
  int64_t parameters = 0;
  int64_t instructions = 0;    // nodes of a step's programs on rank 0
  int64_t flops_per_step = 0;  // GEMM, all ranks
  int64_t shared_bytes_per_node =
      0;  // states that its ranks have in common, and the buckets that they read of each other
  std::vector<RankPlan> per_rank;
  std::vector<PlannedCollective> collectives;  // of each phase, in the order of its program
  struct Tensor {
    std::string name;
    int64_t bytes = 0;
  };
  struct Peak {
    std::string instruction, scope;
    std::vector<Tensor> tensors;  // that live at the instruction where most bytes do, largest first
  } peak;
  Timeline timeline;                  // of the highest program of rank 0
  double predicted_step_seconds = 0;  // of rank 0, without communication
  bool calibrated = false;            // by what was measured on this machine; else all or some of it is an estimate
  RecomputeReport recompute;
  std::vector<FrontierPoint> sweep;  // from the most bytes to the least
  std::vector<Advice> advice;        // where it does not fit
  int64_t memory_limit = 0;          // a rank; 0: unlimited
  std::string memory_source;         // flag | cgroup | rlimit | ram
  bool per_process = false;          // the limit is of each process; else of a rank's share of what its node holds
  bool fits = true;
};

// Throws Error as check() does for the configuration.
PlanReport plan(const config::Resolved& resolved, const PlanOptions& options);
nlohmann::json to_json(const PlanReport& report);  // schema ringmaster.plan/1
std::string to_text(const PlanReport& report);     // for a terminal; UTF-8 unless the locale is not
std::string to_svg(const PlanReport& report);      // the frontier of a sweep, else the timeline

}  // namespace ringmaster::train
