// SPDX-License-Identifier: Apache-2.0
// traced_run: programs of a recipe bound to one arena, through the passes and the executor that `train` uses, but traced here, so that
// a comparison can add outputs to them.
#pragma once
#include "exec/executor.h"
#include "models/recipe.h"
#include "nn/module.h"
#include "ops/ops.h"
#include "passes/passes.h"
#include "train/machine.h"
#include "train/session.h"

#include <omp.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster {

// The outputs of the op `grids` in a region: one unit a gradient of integers (ops/grids.cpp); none of floats.
inline std::vector<ir::ValueId> grids_of(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes) {
  for (const ir::NodeId id : nodes)
    if (graph.node(id).op->name == std::string("grids")) return graph.node(id).outputs;
  return {};
}

// Every gradient that the phase's update reads becomes an output "grad.<weight>", in f32.
inline ir::Graph with_gradients(ir::Graph graph) {
  ir::Builder builder(graph);
  for (size_t region = 0; region < graph.regions().size(); ++region) {
    builder.enter_region(static_cast<int>(region));
    const std::vector<ir::NodeId> nodes = graph.regions()[region].nodes;  // a copy: outputs are added behind them
    for (const ir::NodeId id : nodes) {
      if (graph.node(id).op->traits.role != ir::Role::gradient) continue;
      const std::string weight = graph.producer(graph.node(id).inputs[0]).attrs.text("name");
      ir::Tensor gradient(&builder, graph.node(id).outputs[0]);
      if (const auto grids = grids_of(graph, nodes); !grids.empty()) {
        const auto grid = static_cast<size_t>(graph.node(id).attrs.integer("grid"));
        gradient = ops::div(ops::cast(gradient, DType::f32), ir::Tensor(&builder, grids.at(grid)));
      }
      ops::output(gradient, "grad." + weight);
    }
  }
  return graph;
}

// A phase, once more if its gradients did not fit their grids.
inline void run_committed(exec::Executor& program, const ir::RunContext& context, int64_t grain_size) {
  program.run(context, grain_size);
  if (program.has_output("fits") && program.output_scalar("fits") == 0) program.run(context, grain_size);
  CHECK(program.output_scalar("commit") == 1, "step {} was not committed", context.step + 1);
}

class TracedRun {
 public:
  explicit TracedRun(const config::Config& config)
      : recipe_(train::make_recipe(config)), comm_(comm::make_single()), states_(models::all_states(*recipe_, config)) {
    layout_ = ir::lay_out(states_);
    omp_set_num_threads(threads_);
  }

  const models::Recipe& recipe() const { return *recipe_; }
  const std::vector<ir::State>& states() const { return states_; }

  // All programs are added, then bound; a program of one grain is not dealt.
  void add(ir::Graph graph, int64_t grains) {
    passes::run(graph, {});
    exec::Prepared prepared = exec::prepare(graph, {.threads = threads_});
    ir::Placement placement =
        passes::place(graph, {.local_grains = grains, .scratch_bytes = prepared.scratch_bytes, .states = &layout_});
    planned_.push_back({std::move(graph), std::move(prepared), std::move(placement), grains});
  }
  void bind() {
    int64_t peak = layout_.end;
    for (const Planned& p : planned_) peak = std::max(peak, p.placement.peak_bytes);
    arena_.emplace(peak);
    arena_->paint();
    for (Planned& p : planned_) {
      programs_.push_back(std::make_unique<exec::Executor>(
          std::move(p.graph), std::move(p.prepared), std::move(p.placement), layout_, *arena_, fabric_,
          exec::Executor::Options{.threads = threads_, .num_grains = p.grains, .deal = {0, p.grains}}));
    }
    for (const ir::State& s : states_) std::memset(state(s.name), 0, static_cast<size_t>(s.type.bytes()));
  }

  exec::Executor& program(const std::string& name) {
    for (const auto& program : programs_)
      if (program->graph().name() == name) return *program;
    CHECK(false, "no program {}", name);
    return *programs_.front();
  }
  float* state(const std::string& name) { return reinterpret_cast<float*>(arena_->data() + layout_.offset.at(name)); }

 private:
  struct Planned {
    ir::Graph graph;
    exec::Prepared prepared;
    ir::Placement placement;
    int64_t grains = 1;
  };
  std::unique_ptr<models::Recipe> recipe_;
  std::unique_ptr<comm::Communicator> comm_;
  exec::Fabric fabric_{*comm_};
  int threads_ = train::threads_per_rank(0, 1);
  std::vector<ir::State> states_;
  ir::StateLayout layout_;
  std::vector<Planned> planned_;
  std::optional<exec::Arena> arena_;
  std::vector<std::unique_ptr<exec::Executor>> programs_;
};

}  // namespace ringmaster
