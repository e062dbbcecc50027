// SPDX-License-Identifier: Apache-2.0
// executor: a program bound to an arena: a list of instructions with resolved addresses. A run walks the list, the body of a
// grain region once a grain of this rank, and hands collectives to comm. It allocates nothing.
#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "exec/arena.h"
#include "exec/exchange.h"
#include "exec/fabric.h"
#include "exec/prepare.h"
#include "ir/placement.h"
#include "ir/program.h"

namespace ringmaster::exec {

// What one run took, counted by what was really executed.
struct RunStats {
  double compute_seconds = 0;
  double comm_seconds = 0;  // spent inside collectives
  int64_t gemm_flops = 0;
};

// One row of the profile: an instruction over all runs since the last reset.
struct ProfileRow {
  const ir::Node* node = nullptr;
  double seconds = 0;
  int64_t runs = 0;
  int64_t flops = 0;  // GEMM, of one run
  int64_t bytes = 0;  // read and written, of one run
};

// An instruction that is about to run its kernel.
struct Instant {
  const ir::Node& node;
  ir::Kernel& kernel;
  std::span<const void* const> in;
  std::span<void* const> out;
  void* scratch;
  const ir::RunContext& context;
};

class Executor final : public ir::Program {
 public:
  struct Options {
    int threads = 1;
    int64_t num_grains = 1;
    Deal deal{0, 1};
    bool profile = false;
  };
  // `graph` is kept; `arena` and `fabric`, which has mapped what it shares of it, must outlive the executor.
  Executor(ir::Graph graph, Prepared prepared, ir::Placement placement, const ir::StateLayout& states, Arena& arena,
           Fabric& fabric, const Options& options);
  ~Executor() override;

  int64_t first_grain() const override { return options_.deal.first; }
  int64_t local_grains() const override { return options_.deal.count; }
  int64_t num_grains() const override { return options_.num_grains; }
  bool has_input(std::string_view name) const { return inputs_.contains(name); }
  bool has_output(std::string_view name) const { return outputs_.contains(name); }
  bool reads_batch() const { return !inputs_.empty(); }
  void* input(std::string_view name, int64_t grain) override;
  void set_scalar(std::string_view name, double value) override;
  void run(const ir::RunContext& context, int64_t grain_size) override;
  std::span<const float> output(std::string_view name) const override;
  double output_scalar(std::string_view name) const;  // of one element, f32 or i32

  // Called in each run where all grains have run, before anything is reduced or written. It may throw.
  void before_update(std::function<void()> hook) { before_update_ = std::move(hook); }

  bool has_run() const { return has_run_; }
  const RunStats& stats() const { return stats_; }  // of the last run
  const ir::Graph& graph() const { return graph_; }
  const Team& team() const { return fabric_.team(); }
  const Exchanged& exchanged() const { return exchanged_; }  // by one run
  const ir::Placement& placement() const { return placement_; }
  // The node under way, for failure reports; null between runs. Read by signal handlers and watchers: a plain pointer.
  const ir::Node* current() const { return current_; }
  std::vector<ProfileRow> profile() const;
  void reset_profile();
  // Called before each kernel of the runs to come, to measure it alone on what it really reads; an empty one ends that.
  void observe(std::function<void(const Instant&)> observer) { observer_ = std::move(observer); }

 private:
  struct Instruction;
  void bind(const Prepared& prepared, const ir::StateLayout& states);
  void add_instruction(ir::NodeId id, const Prepared& prepared, const ir::StateLayout& states);
  std::byte* at(ir::ValueId v) const;
  const ir::Type& output_type(std::string_view name, const std::byte*& place) const;
  void run_region(size_t region, ir::RunContext context, int64_t grain_size);
  void execute(Instruction& instruction, const ir::RunContext& context);

  ir::Graph graph_;
  ir::Placement placement_;
  Arena& arena_;
  Fabric& fabric_;
  Options options_;
  std::vector<std::vector<Instruction>> regions_;
  std::map<std::string, ir::ValueId, std::less<>> inputs_, outputs_;
  std::map<std::string, DType, std::less<>> scalar_types_;
  RunStats stats_;
  Exchanged exchanged_;
  std::function<void(const Instant&)> observer_;
  std::function<void()> before_update_;
  const ir::Node* volatile current_ = nullptr;
  bool has_run_ = false;
};

}  // namespace ringmaster::exec
