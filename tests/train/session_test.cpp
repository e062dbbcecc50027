// SPDX-License-Identifier: Apache-2.0
#include "train/session.h"

#include "data/sampler.h"
#include "ir/eval.h"
#include "tests/train/tiny_run.h"
#include "train/feed.h"

#include <cmath>

namespace ringmaster::train {
namespace {

struct Stepper {
  Stepper(const TinyRun& run, const SessionOptions& options, const std::vector<std::string>& sets = {})
      : config(run.resolved(sets).config),
        comm(comm::make_single()),
        session(config, *comm, options),
        sampler(data::open_dataset(config.data).train, {.seed = config.training.seed,
                                                        .seq_len = config.training.seq_len,
                                                        .global_batch_size = config.training.global_batch_size}) {
    session.initialise(config.training.seed);
  }
  exec::Executor& program() { return session.executor("train"); }
  double weight() const { return static_cast<double>(config.training.global_batch_size * config.training.seq_len); }
  void feed() {
    feed_samples(program(), sampler, 0, config.training.grain_size);
    program().set_scalar("weight.mask", weight());
    program().set_scalar("lr", config.optimizer.lr);
    program().set_scalar("step", 1);
  }
  void step() {
    feed();
    program().run({.seed = config.training.seed}, config.training.grain_size);
  }

  config::Config config;
  std::unique_ptr<comm::Communicator> comm;
  Session session;
  data::Sampler sampler;
};

SessionOptions train_only() { return {.programs = {.train = true}}; }

TEST(Session, AStepIsTheReferenceEvaluators) {
  const TinyRun run;
  for (const char* optimizer : {"sgd", "adam", "adamw"}) {
    Stepper stepper(run, train_only(), {std::string("optimizer.name=") + optimizer});
    const ir::Graph& graph = stepper.program().graph();
    stepper.feed();
    ir::EvalInputs in{.num_grains = 3, .grain_size = 2};
    in.context = {.seed = stepper.config.training.seed, .num_grains = 3};
    in.scalars = {{"weight.mask", stepper.weight()}, {"lr", stepper.config.optimizer.lr}, {"step", 1.0}};
    const Shape shape{2, 8};
    for (int64_t g = 0; g < 3; ++g) {
      const data::BatchMemory batch = batch_memory(stepper.program(), g);
      const auto *const tokens = batch.tensor<int32_t>("tokens"), *const targets = batch.tensor<int32_t>("targets");
      const auto* const mask = batch.tensor<float>("mask");
      in.inputs["tokens"].push_back({{DType::i32, shape}, {tokens, tokens + 16}});
      in.inputs["targets"].push_back({{DType::i32, shape}, {targets, targets + 16}});
      in.inputs["mask"].push_back({{DType::f32, shape}, {mask, mask + 16}});
    }
    for (const ir::State& s : stepper.session.programs().states) {
      const auto* x = static_cast<const float*>(stepper.session.state(s.name));
      in.states[s.name] = {s.type, {x, x + s.type.shape.elements()}};
    }
    const auto before = in.states;
    EXPECT_EQ(ir::evaluate(graph, in).at("fits").data[0], 0);  // on no grids yet
    auto expected = ir::evaluate(graph, in);
    EXPECT_EQ(expected.at("fits").data[0], 1);
    stepper.step();
    EXPECT_EQ(stepper.program().output_scalar("commit"), 0);
    stepper.step();
    EXPECT_NEAR(stepper.program().output_scalar("loss"), expected["loss"].data[0], 1e-5);
    EXPECT_NEAR(stepper.program().output_scalar("grad_norm"), expected["grad_norm"].data[0], 1e-4);
    double moved = 0;
    for (const ir::State& s : stepper.session.programs().states) {
      const auto* x = static_cast<const float*>(stepper.session.state(s.name));
      double largest = 0, difference = 0;
      for (size_t i = 0; i < in.states[s.name].data.size(); ++i) {
        largest = std::max(largest, std::abs(in.states[s.name].data[i]));
        difference = std::max(difference, std::abs(static_cast<double>(x[i]) - in.states[s.name].data[i]));
        moved = std::max(moved, std::abs(in.states[s.name].data[i] - before.at(s.name).data[i]));
      }
      // Adam's first step divides a gradient by itself: where it is all rounding, so is the quotient.
      const bool normalised = std::string(optimizer) != "sgd" && s.role == ir::StateRole::weight;
      EXPECT_LE(difference, normalised ? 2 * stepper.config.optimizer.lr * 1e-2 : 1e-5 * std::max(largest, 1e-3))
          << optimizer << " " << s.name;
    }
    EXPECT_GT(moved, 1e-4);
  }
}

TEST(Session, AShrunkBufferIsDetected) {
  const TinyRun run;
  Stepper sound(run, train_only());
  sound.step();
  EXPECT_EQ(sound.session.planned_peak_bytes(), sound.session.measured_peak_bytes());

  SessionOptions options = train_only();
  options.adjust = [](ir::Placement& placement) {  // the highest buffer loses a line
    for (ir::Buffer& buffer : placement.buffers)
      if (buffer.offset + buffer.bytes == placement.peak_bytes) buffer.bytes -= ir::arena_alignment;
    placement.peak_bytes -= ir::arena_alignment;
  };
  Stepper shrunk(run, options);
  shrunk.step();
  EXPECT_GT(shrunk.session.measured_peak_bytes(), shrunk.session.planned_peak_bytes());
}

TEST(Session, ThreadsDoNotChangeBits) {
  const TinyRun run;
  std::vector<std::vector<float>> weights;
  for (const int threads : {1, 2, 3}) {
    SessionOptions options = train_only();
    options.programs.threads = threads;
    Stepper stepper(run, options);
    stepper.step();
    const auto* x = static_cast<const float*>(stepper.session.state("transformer.h.0.mlp.c_fc.weight"));
    weights.emplace_back(x, x + 16 * 64);
  }
  EXPECT_EQ(weights[0], weights[1]);
  EXPECT_EQ(weights[0], weights[2]);
}

TEST(Session, PlanHashesFollowThePlan) {
  const TinyRun run;
  const ProgramOptions options{.train = true};
  const Programs a = compile(run.resolved().config, options), b = compile(run.resolved().config, options);
  const Programs wider = compile(run.resolved({"model.width=32"}).config, options);
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_NE(a.hash(), wider.hash());
}

}  // namespace
}  // namespace ringmaster::train
