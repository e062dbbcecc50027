// SPDX-License-Identifier: Apache-2.0
// frontier: what a step needs and takes under any budget of activations, found without tracing the model again.
#pragma once
#include "passes/budget.h"
#include "train/session.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

struct FrontierPoint {
  int64_t budget_bytes = 0;
  int64_t peak_bytes = 0;   // of the rank: all programs, weights, optimizer and scratch included
  double step_seconds = 0;  // as the cost table has it
};

class Frontier {
 public:
  // Of rank options.team.rank; `costs` must outlive this. Throws as compile() does.
  Frontier(config::Config config, const ProgramOptions& options, const cost::Table& costs);
  // Of what compile() made under mode none.
  Frontier(Programs programs, const ProgramOptions& options, const cost::Table& costs);

  int64_t least() const { return least_; }  // the least budget that can be kept
  int64_t none() const { return none_; }    // what mode none needs
  FrontierPoint at(int64_t budget);         // least() or more
  // From none() down to least(), each by the same factor below the one before; one alone where least() is none().
  std::vector<FrontierPoint> points(int count);
  int64_t state_bytes() const { return programs_.layout.end; }  // no peak is below them
  int64_t beside_arena(bool per_process) const { return programs_.beside_arena(per_process); }
  // The fastest whose peak is at most this.
  std::optional<FrontierPoint> within(int64_t peak_bytes);

 private:
  struct Phase {
    const Compiled* program;
    int64_t repeats;
    std::vector<std::unique_ptr<passes::Budget>> budgets;  // one a grain region that has a backward
  };
  int64_t scratch_of(const ir::Graph& graph, const ir::Node& node);
  ir::Placement place(const Phase& phase, const ir::Graph& graph, const std::vector<passes::Remade>& again);
  int64_t peak_of(const std::vector<passes::Tags>& tags);  // of each budget of each phase

  const cost::Table& costs_;
  int threads_;
  Programs programs_;
  std::vector<Phase> phases_;
  ir::Graph work_;                          // its memory is used again
  std::map<std::string, int64_t> scratch_;  // by kernel
  std::map<std::vector<passes::Tags>, int64_t> peaks_;
  int64_t least_ = 0, none_ = 0;
  double seconds_of_none_ = 0;
};

}  // namespace ringmaster::train
