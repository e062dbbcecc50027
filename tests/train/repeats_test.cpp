// SPDX-License-Identifier: Apache-2.0
// What a phase draws, reads and counts, seen through a recipe whose losses are the draws and the samples themselves.
#include "checkpoint/store.h"
#include "data/points.h"
#include "models/models.h"
#include "ops/ops.h"
#include "tests/train/tiny_run.h"
#include "train/phase_run.h"

#include <cmath>

namespace ringmaster::train {
namespace {

using namespace ops;
using models::Batch;
using models::Term;

struct Number {
  explicit Number(const nn::Scope& scope) : value(scope.parameter("value", {2, 2}, nn::Init::normal(1.0))) {}
  const nn::Parameter* value;
};

// Phases: `reads` has the mean of x0 for a loss, `draws` and `echo` that of one noise; none depends on the network of its name, which
// it updates. `learns` moves the network `net` to 2. All repeat model.critic_steps times.
std::unique_ptr<models::Recipe> mirror(const config::Config& c) {
  auto recipe = std::make_unique<models::Recipe>("mirror_test");
  const Number& net = recipe->network<Number>("net", "net");
  recipe->inputs = {{"x", DType::f32, {2}}, {"mask", DType::f32, {}}};
  const auto value = [&net](const Batch& batch) { return net.value->read(batch.builder()); };
  const auto beside = [](const Number& own, const Batch& batch, Tensor loss_B) -> std::vector<Term> {
    return {models::mean_term(loss_B + 0.0 * broadcast_to(sum(own.value->read(batch.builder())), loss_B.shape()))};
  };
  const auto draws = [&recipe, beside](const char* name) -> models::Loss {
    return [&own = recipe->network<Number>(name, name), beside](const Batch& batch) {
      return beside(own, batch, reshape(batch.normal("z", {1}), {batch.size()}));
    };
  };
  const models::Loss reads = [&own = recipe->network<Number>("reads", "reads"), beside](const Batch& batch) {
    return beside(own, batch, reshape(split(batch["x"], 1, {1, 1})[0], {batch.size()}));
  };
  const models::Loss learns = [value](const Batch& batch) -> std::vector<Term> {
    const Tensor off = sum(square(value(batch) - 2.0));
    return {models::mean_term(broadcast_to(off, {batch.size()}))};
  };
  const int64_t repeats = c.model.critic_steps;
  const auto phase = [&](const char* name, const char* network, const models::Loss& loss) {
    return models::Phase{
        .name = name, .updates = {network}, .loss = loss, .repeats = repeats, .samples = models::Samples::fresh};
  };
  recipe->phases = {phase("reads", "reads", reads), phase("draws", "draws", draws("draws")),
                    phase("echo", "echo", draws("echo")), phase("learns", "net", learns)};
  recipe->evaluators = {
      {.name = "validation", .loss = [value](const Batch& batch) -> std::vector<Term> {
         const Tensor mask_B = batch["mask"];
         return {{.sum = sum(broadcast_to(sum(value(batch)), mask_B.shape()) * mask_B), .weight = batch.count("mask")}};
       }}};
  return recipe;
}

TinyRun mirror_run(int64_t repeats) {
  static const bool added = [] {
    models::add({"mirror_test", "losses that show what a phase sees", mirror});
    return true;
  }();
  EXPECT_TRUE(added);
  return TinyRun(
      fmt::format("model: {{recipe: mirror_test, critic_steps: {}}}\n"
                  "training: {{global_batch_size: 6, grain_size: 2, max_norm: 0}}\n"
                  "data: {{source: generated}}\n"
                  "optimizer: {{name: adam, lr: 1e-2, weight_decay: 0}}\n",
                  repeats));
}

// The mean of x0 of the training points [first, first + count).
double mean_of(const config::Config& c, int64_t first, int64_t count) {
  std::vector<data::Point> x(static_cast<size_t>(count));
  data::TrainingPoints(c.data, c.training.seed)
      .fill(first, count,
            data::BatchMemory([&](std::string_view name) -> void* { return name == "x" ? x.data() : nullptr; }));
  double mean = 0;
  for (const data::Point& p : x) mean += p[0] / static_cast<double>(count);
  return mean;
}

TEST(Repeats, DrawsDifferByPhaseStepAndRepeat) {
  const TinyRun run = mirror_run(2);
  const config::Config c = run.resolved().config;
  const auto comm = comm::make_single();
  Wire wire(*comm);
  Session session(c, *comm, {.programs = {.train = true}});
  session.initialise(c.training.seed);
  std::vector<PhaseRun> phases = phase_runs(session, wire);
  const auto drawn = [&](size_t phase, int64_t step, int64_t repeat) {
    phases[phase].agree(false);
    phases[phase].run({.step = step, .repeat = repeat, .lr = 0.0});
    return phases[phase].loss();
  };
  const double base = drawn(1, 3, 0);
  EXPECT_EQ(drawn(1, 3, 0), base);
  EXPECT_NE(drawn(2, 3, 0), base);  // the same name in another phase
  EXPECT_NE(drawn(1, 4, 0), base);
  EXPECT_NE(drawn(1, 3, 1), base);
}

TEST(Repeats, EveryRepeatReadsTheNextSamples) {
  for (const int64_t repeats : {1, 3}) {
    const TinyRun run = mirror_run(repeats);
    ASSERT_EQ(run.train(2, {"training.steps=4"}), 0);
    const std::vector<Json> lines = run.metrics("step");
    ASSERT_EQ(lines.size(), 4U);
    for (size_t i = 0; i < lines.size(); ++i) {  // the loss of a step is that of its last repeat
      const int64_t first = (static_cast<int64_t>(i) * repeats + repeats - 1) * 6;
      EXPECT_NEAR(lines[i]["loss"].get<double>(), mean_of(run.resolved().config, first, 6), 1e-5) << "step " << i + 1;
    }
  }
}

TEST(Repeats, UpdatesAreCountedNotSteps) {
  const TinyRun thrice = mirror_run(3), once = mirror_run(1);
  ASSERT_EQ(thrice.train(1, {"training.steps=2"}), 0);
  ASSERT_EQ(once.train(1, {"training.steps=6"}), 0);
  EXPECT_NEAR(thrice.summary()["validation_loss"].get<double>(), once.summary()["validation_loss"].get<double>(), 1e-6);
}

TEST(Repeats, TheRateIsThatOfTheStepUnderWay) {
  const TinyRun warm, plain;
  ASSERT_EQ(warm.train(1, {"training.steps=1", "optimizer.lr=1e-2", "lr_scheduler.warmup_steps=2"}), 0);
  ASSERT_EQ(plain.train(1, {"training.steps=1", "optimizer.lr=5e-3"}), 0);
  EXPECT_EQ(warm.summary()["params_hash"], plain.summary()["params_hash"]);
  EXPECT_EQ(warm.metrics("step")[0]["lr"], plain.metrics("step")[0]["lr"]);
}

TEST(Validation, OfAModelThatKnowsNothingIsThatOfChance) {
  for (const char* seq_len : {"training.seq_len=8", "training.seq_len=100"}) {  // 75 and 6 windows, the last one padded
    const TinyRun run;
    ASSERT_EQ(run.train(2, {"training.steps=1", "optimizer.lr=0", seq_len}), 0);
    EXPECT_NEAR(run.summary()["validation_loss"].get<double>(), std::log(256.0), 0.05) << seq_len;
  }
}

TEST(Validation, TheBestIsTheSmallest) {
  const TinyRun run;
  ASSERT_EQ(run.train(1, {"training.steps=12", "optimizer.lr=0.3", "validation.interval=1"}), 0);
  double best = INFINITY;
  for (const Json& line : run.metrics("validation")) best = std::min(best, line["validation_loss"].get<double>());
  EXPECT_EQ(run.summary()["best_validation_loss"].get<double>(), best);
  EXPECT_GT(run.summary()["validation_loss"].get<double>(), best) << "a run that only gets better shows nothing";
}

TEST(Validation, TheBestCheckpointStays) {
  const TinyRun run;
  ASSERT_EQ(run.train(2, {"training.steps=12", "optimizer.lr=0.3", "validation.interval=1", "checkpoint.interval=1",
                          "checkpoint.keep_latest_k=1", "checkpoint.keep_best=true"}),
            0);
  const int64_t best = run.summary()["best_step"].get<int64_t>();
  ASSERT_LT(best, 12);
  std::vector<int64_t> steps;
  for (const auto& found : checkpoint::list(run.folder())) steps.push_back(found.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{best, 12}));
}

TEST(Validation, TheBestIsSavedBetweenCheckpointsToo) {
  const TinyRun run;
  ASSERT_EQ(
      run.train(1, {"training.steps=12", "optimizer.lr=0.3", "validation.interval=1", "checkpoint.keep_best=true"}), 0);
  EXPECT_EQ(checkpoint::list(run.folder()).front().step, run.summary()["best_step"].get<int64_t>());
}

}  // namespace
}  // namespace ringmaster::train
