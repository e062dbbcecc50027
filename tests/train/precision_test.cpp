// SPDX-License-Identifier: Apache-2.0
// precision.compute: what a run with 16-bit products keeps, resumes and reaches.
#include "tests/train/tiny_run.h"

#include "data/sampler.h"
#include "train/feed.h"
#include "train/session.h"

#include <cmath>

namespace ringmaster::train {
namespace {

const std::vector<std::string> bf16_products{"precision.compute=bf16"};

std::vector<std::string> with(std::vector<std::string> sets, std::initializer_list<std::string> more) {
  sets.insert(sets.end(), more);
  return sets;
}

// Every shadow is its weight, rounded; returns how many there are.
int shadows_agree(const Session& session) {
  int shadows = 0;
  for (const ir::State& s : session.programs().states) {
    if (s.role != ir::StateRole::weight || !session.programs().layout.offset.contains(ir::shadow_name(s.name)))
      continue;
    const auto* weight = static_cast<const float*>(session.state(s.name));
    const auto* shadow = static_cast<const bf16*>(session.state(ir::shadow_name(s.name)));
    for (int64_t i = 0; i < s.type.shape.elements(); ++i) EXPECT_EQ(shadow[i].bits, to_bf16(weight[i]).bits) << s.name;
    ++shadows;
  }
  return shadows;
}

// One update from fresh weights.
struct OneStep {
  TinyRun run;
  config::Config config;
  std::unique_ptr<comm::Communicator> comm = comm::make_single();
  Session session;
  exec::Executor& train;

  explicit OneStep(const std::vector<std::string>& sets)
      : config(run.resolved(sets).config),
        session(config, *comm, {.programs = {.train = true}}),
        train(session.executor("train")) {
    session.initialise(config.training.seed);
    const data::Sampler sampler(data::open_dataset(config.data).train,
                                {.seed = config.training.seed,
                                 .seq_len = config.training.seq_len,
                                 .global_batch_size = config.training.global_batch_size});
    feed_samples(train, sampler, 0, config.training.grain_size);
    train.set_scalar("weight.mask", static_cast<double>(config.training.global_batch_size * config.training.seq_len));
    train.set_scalar("lr", 0.1);
    train.set_scalar("step", 1);
  }
  void go() {  // again on grids of its own, if the first did not fit
    for (int i = 0; i < 2 && (i == 0 || train.output_scalar("fits") == 0); ++i)
      train.run({.seed = config.training.seed}, config.training.grain_size);
  }
};

// Six steps in a row are three, a checkpoint, and three.
template <typename... Yaml>
void expect_resuming_gives_the_same_bits(int ranks, const std::vector<std::string>& sets, const Yaml&... yaml) {
  const TinyRun whole(yaml...), parts(yaml...);
  ASSERT_EQ(whole.train(ranks, with(sets, {"training.steps=6"})), 0);
  ASSERT_EQ(parts.train(ranks, with(sets, {"training.steps=3"})), 0);
  ASSERT_EQ(parts.train(ranks, with(sets, {"training.steps=6"})), 0);
  EXPECT_EQ(whole.summary()["state_hash"], parts.summary()["state_hash"]);
}

// Thirty steps end where those in f32 end, and not on the same bits.
void expect_learning_as_f32_does(const TinyRun& narrow, const TinyRun& wide, const std::vector<std::string>& sets,
                                 double tolerance) {
  ASSERT_EQ(narrow.train(1, with(sets, {"training.steps=30"})), 0);
  ASSERT_EQ(wide.train(1, {"training.steps=30"}), 0);
  const double a = narrow.losses().back(), b = wide.losses().back();
  EXPECT_NE(a, b);
  EXPECT_NEAR(a, b, tolerance * b);
}

TEST(Precision, AnUpdateWritesTheShadowsToo) {
  OneStep step(bf16_products);
  EXPECT_GT(shadows_agree(step.session), 4);
  const auto* weight = static_cast<const float*>(step.session.state("transformer.h.0.mlp.c_fc.weight"));
  const float before = *weight;
  step.go();
  EXPECT_NE(*weight, before);
  EXPECT_GT(shadows_agree(step.session), 4);
}

TEST(Precision, ResumingGivesTheSameBits) { expect_resuming_gives_the_same_bits(2, bf16_products); }

TEST(Precision, LearnsAsF32DoesWithOtherBits) {
  const TinyRun narrow, wide;
  expect_learning_as_f32_does(narrow, wide, bf16_products, 0.02);
}

TEST(Precision, ACheckpointHoldsTheMasterWeightsAlone) {
  const TinyRun run;
  ASSERT_EQ(run.train(1, with(bf16_products, {"training.steps=2"})), 0);
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run.folder())) {
    if (entry.path().extension() != ".safetensors") continue;
    EXPECT_EQ(read_file(entry.path()).find(".shadow"), std::string::npos) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 1);
}

TEST(Precision, TheCriticsSlopesArePrecise) {  // gradients of gradients through 16-bit products
  const TinyRun run(
      "model: {recipe: wgan_gp, width: 16, layers: 2, critic_steps: 2}\ndata: {source: generated}\n"
      "training: {steps: 3, global_batch_size: 8}\n");
  ASSERT_EQ(run.train(2, bf16_products), 0);
}

const std::vector<std::string> f16_products{"precision.compute=f16"};

TEST(LossScale, F16LearnsAsF32Does) {
  const TinyRun narrow, wide;
  expect_learning_as_f32_does(narrow, wide, f16_products, 0.005);
  for (const Json& line : narrow.metrics("step")) EXPECT_EQ(line["loss_scale"], 65536);
}

// Its scale is 2^(16 + doublings).
struct ScaledStep : OneStep {
  explicit ScaledStep(int32_t doublings) : OneStep(f16_products) { scale()[0] = doublings; }
  int32_t* scale() { return static_cast<int32_t*>(session.state("train.loss_scale")); }
  // The bytes of every state but the scale.
  std::string states() {
    std::string bytes;
    for (const ir::State& s : session.programs().states)
      if (s.name != "train.loss_scale")
        bytes.append(static_cast<const char*>(session.state(s.name)), static_cast<size_t>(s.type.bytes()));
    return bytes;
  }
};

TEST(LossScale, AStepThatOverflowsLeavesAllButTheScale) {
  ScaledStep overflows(40);
  const std::string before = overflows.states();
  overflows.go();
  EXPECT_EQ(overflows.train.output_scalar("commit"), 0);
  EXPECT_EQ(overflows.train.output_scalar("loss_scale"), std::ldexp(1.0, 56));
  EXPECT_TRUE(std::isfinite(overflows.train.output_scalar("loss")));
  EXPECT_TRUE(overflows.states() == before);
  EXPECT_EQ(overflows.scale()[0], 39);
  EXPECT_EQ(overflows.scale()[1], 0);
  ScaledStep fits(0);
  fits.go();
  EXPECT_FALSE(fits.states() == before);
  EXPECT_EQ(fits.scale()[0], 0);
  EXPECT_EQ(fits.scale()[1], 1);
}

TEST(LossScale, UpdatesAreOfUnscaledGradients) {  // sgd sees their size, adam would not
  const TinyRun narrow, wide;
  const std::vector<std::string> sgd{"optimizer.name=sgd", "optimizer.lr=0.1", "training.steps=20"};
  ASSERT_EQ(narrow.train(1, with(sgd, {"precision.compute=f16"})), 0);
  ASSERT_EQ(wide.train(1, sgd), 0);
  EXPECT_LT(wide.losses().back(), 0.95 * wide.losses().front());
  EXPECT_NEAR(narrow.losses().back(), wide.losses().back(), 0.005 * wide.losses().back());
}

TEST(LossScale, TheUpdateDoesNotDependOnIt) {  // powers of 2, where nothing vanishes: the same norm
  ScaledStep a(0), b(-2);
  a.go();
  b.go();
  EXPECT_NEAR(a.train.output_scalar("grad_norm"), b.train.output_scalar("grad_norm"),
              1e-3 * a.train.output_scalar("grad_norm"));
}

// The penalty's gradients overflow at 2^16.
const char* const overflowing =
    "model: {recipe: wgan_gp, width: 16, layers: 2, critic_steps: 2, gradient_penalty: 1000}\n"
    "data: {source: generated}\ntraining: {steps: 5, global_batch_size: 8}\n";

TEST(LossScale, ASkippedStepComesAgainOnAnyNumberOfRanks) {
  std::vector<Json> first;
  for (const int ranks : {1, 2}) {
    const TinyRun run(overflowing);
    ASSERT_EQ(run.train(ranks, f16_products), 0);
    const std::vector<Json> skips = run.metrics("skip"), steps = run.metrics("step");
    ASSERT_GE(skips.size(), 2);
    EXPECT_EQ(skips[0]["loss"], skips[1]["loss"]);  // the same samples, draws and weights, until they fit
    EXPECT_EQ(run.summary()["skipped_steps"], skips.size());
    ASSERT_EQ(steps.size(), 5);
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_EQ(steps[i]["step"], i + 1);
      if (i > 0) { EXPECT_EQ(steps[i]["sample_first"], steps[i - 1]["sample_end"]); }
    }
    std::vector<Json> seen;  // which step, which phase, which scale
    for (const Json& skip : skips) seen.push_back({skip["step"], skip["phase"], skip["loss_scale"]});
    if (ranks == 1) first = seen;
    EXPECT_EQ(seen, first);
  }
}

TEST(LossScale, ResumingGivesTheSameBits) {
  expect_resuming_gives_the_same_bits(1, f16_products, std::string(overflowing));
}

const std::vector<std::string> rounded_states{"optimizer.state=bf16_stochastic"};

TEST(StochasticState, IsHalfAsLargeAndLearnsAsF32Does) {
  const TinyRun rounded, exact;
  expect_learning_as_f32_does(rounded, exact, rounded_states, 0.02);
  const auto optimizer_bytes = [](const TinyRun& run) {
    int64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run.folder()))
      if (entry.path().filename().string().starts_with("optimizer")) bytes += static_cast<int64_t>(entry.file_size());
    return bytes;
  };
  EXPECT_LT(optimizer_bytes(rounded) * 10, optimizer_bytes(exact) * 6);
}

TEST(StochasticState, ResumingGivesTheSameBits) { expect_resuming_gives_the_same_bits(1, rounded_states); }

}  // namespace
}  // namespace ringmaster::train
