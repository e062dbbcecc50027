// SPDX-License-Identifier: Apache-2.0
// The gradient of a padded batch does not depend on how samples are split into grains and grains among ranks, although samples have
// unequal numbers of tokens that count: the loss is divided by the count of the whole batch.
#include "ops/ops.h"
#include "passes/passes.h"
#include "tests/train/tiny_run.h"
#include "train/feed.h"
#include "train/session.h"
#include "train/wire.h"

#include <cmath>
#include <cstring>
#include <map>

namespace ringmaster::train {
namespace {

using Gradients = std::map<std::string, std::vector<float>>;

constexpr int64_t samples = 6, seq_len = 8;
constexpr int64_t lengths[samples] = {8, 1, 5, 2, 7, 3};  // the rest of a sample is padding

// The training program, in which every gradient is an output "grad.<weight>" too.
ir::Graph program_with_gradients(const models::Recipe& recipe, const config::Config& c) {
  ir::Graph graph = models::trace_phase(recipe, recipe.phases.front(), c);
  ir::Builder builder(graph);
  for (size_t region = 0; region < graph.regions().size(); ++region) {
    builder.enter_region(static_cast<int>(region));
    const std::vector<ir::NodeId> nodes = graph.regions()[region].nodes;  // a copy: outputs are added
    for (const ir::NodeId id : nodes) {
      if (graph.node(id).op->traits.role != ir::Role::gradient) continue;
      const std::string weight = graph.producer(graph.node(id).inputs[0]).attrs.text("name");
      ops::output(ir::Tensor(&builder, graph.node(id).outputs[0]), "grad." + weight);
    }
  }
  return graph;
}

void feed(exec::Executor& program, int64_t grain_size) {
  for (int64_t grain = 0; grain < program.local_grains(); ++grain) {
    const data::BatchMemory batch = batch_memory(program, grain);
    for (int64_t i = 0; i < grain_size * seq_len; ++i) {
      const int64_t sample = (program.first_grain() + grain) * grain_size + i / seq_len, t = i % seq_len;
      const bool counts = t < lengths[sample];
      batch.tensor<int32_t>("tokens")[i] = counts ? static_cast<int32_t>((sample * 41 + t * 17 + 3) % 256) : 0;
      batch.tensor<int32_t>("targets")[i] = counts ? static_cast<int32_t>((sample * 29 + t * 53 + 7) % 256) : 0;
      batch.tensor<float>("mask")[i] = counts ? 1.0F : 0.0F;
    }
  }
}

// Of one step from the initial weights, as rank 0 has them.
Gradients gradients(const TinyRun& run, int64_t grain_size, int ranks) {
  const config::Config c = run.resolved({fmt::format("training.grain_size={}", grain_size), "training.numerics=fast",
                                         "comm.shared_memory=false"})
                               .config;
  Gradients found;
  comm::run_ranks(ranks,
                  [&](comm::Communicator& comm) {
                    Session initial(c, comm, {.programs = {.train = true}});
                    initial.initialise(c.training.seed);
                    const Programs& programs = initial.programs();
                    ir::Graph graph = program_with_gradients(*programs.recipe, c);
                    passes::run(graph, {.ranks = ranks});
                    exec::Fabric fabric(comm);
                    exec::Prepared prepared = exec::prepare(graph, {.team = fabric.team()});
                    ir::Placement placement = passes::place(graph, {.local_grains = programs.deal.count,
                                                                    .scratch_bytes = prepared.scratch_bytes,
                                                                    .states = &programs.layout});
                    exec::Arena arena(placement.peak_bytes);
                    arena.paint();
                    for (const ir::State& s : programs.states)
                      std::memcpy(arena.data() + programs.layout.offset.at(s.name), initial.state(s.name),
                                  static_cast<size_t>(s.type.bytes()));
                    exec::Executor program(std::move(graph), std::move(prepared), std::move(placement), programs.layout,
                                           arena, fabric, {.num_grains = programs.num_grains, .deal = programs.deal});
                    feed(program, grain_size);
                    int64_t count = count_entries(program, "mask");
                    Wire(comm).sum("weights", std::span(&count, 1));
                    ASSERT_EQ(count, 26);
                    program.set_scalar("weight.mask", static_cast<double>(count));
                    program.set_scalar("lr", 0);
                    program.set_scalar("step", 1);
                    program.run({.seed = c.training.seed}, grain_size);
                    if (comm.rank() != 0) return;
                    for (const ir::State& s : programs.states) {
                      if (s.role != ir::StateRole::weight) continue;
                      const auto d = program.output("grad." + s.name);
                      found[s.name].assign(d.begin(), d.end());
                    }
                  },
                  {.timeout_s = 60});
  return found;
}

TEST(WeightedLoss, GradientOfAPaddedBatchIsTheSameForEverySplit) {
  const TinyRun run;
  const Gradients whole = gradients(run, samples, 1);
  ASSERT_GT(whole.size(), 10U);
  for (const int64_t grain_size : {1, 2, 3, 6})
    for (const int ranks : {1, 2, 3}) {
      const Gradients split = gradients(run, grain_size, ranks);
      double worst = 0;
      for (const auto& [name, reference] : whole) {
        const std::vector<float>& d = split.at(name);
        ASSERT_EQ(d.size(), reference.size());
        double largest = 0, difference = 0;
        for (size_t i = 0; i < d.size(); ++i) {
          largest = std::max(largest, std::abs(static_cast<double>(reference[i])));
          difference = std::max(difference, std::abs(static_cast<double>(d[i]) - static_cast<double>(reference[i])));
        }
        EXPECT_GT(largest, 0) << name;
        EXPECT_LE(difference, 1e-6 * largest) << name << ", grains of " << grain_size << ", " << ranks << " ranks";
        worst = std::max(worst, difference / largest);
      }
      RecordProperty(fmt::format("worst_{}_{}", grain_size, ranks), fmt::format("{:.3g}", worst));
    }
}

}  // namespace
}  // namespace ringmaster::train
