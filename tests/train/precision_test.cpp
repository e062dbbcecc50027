// SPDX-License-Identifier: Apache-2.0
// precision.compute: what a run with 16-bit products keeps, resumes and reaches.
#include "tests/train/tiny_run.h"

#include "data/sampler.h"
#include "train/feed.h"
#include "train/session.h"

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

TEST(Precision, AnUpdateWritesTheShadowsToo) {
  const TinyRun run;
  const config::Config config = run.resolved(bf16_products).config;
  const auto comm = comm::make_single();
  Session session(config, *comm, {.programs = {.train = true}});
  session.initialise(config.training.seed);
  EXPECT_GT(shadows_agree(session), 4);
  const auto before = *static_cast<const float*>(session.state("transformer.h.0.mlp.c_fc.weight"));
  exec::Executor& train = session.executor("train");
  const data::Sampler sampler(data::open_dataset(config.data).train,
                              {.seed = config.training.seed,
                               .seq_len = config.training.seq_len,
                               .global_batch_size = config.training.global_batch_size});
  feed_samples(train, sampler, 0, config.training.grain_size);
  train.set_scalar("weight.mask", static_cast<double>(config.training.global_batch_size * config.training.seq_len));
  train.set_scalar("lr", 0.1);
  train.set_scalar("step", 1);
  train.run({.seed = config.training.seed}, config.training.grain_size);
  EXPECT_NE(*static_cast<const float*>(session.state("transformer.h.0.mlp.c_fc.weight")), before);
  EXPECT_GT(shadows_agree(session), 4);
}

TEST(Precision, ResumingGivesTheSameBits) {
  const TinyRun whole, parts;
  ASSERT_EQ(whole.train(2, with(bf16_products, {"training.steps=6"})), 0);
  ASSERT_EQ(parts.train(2, with(bf16_products, {"training.steps=3"})), 0);
  ASSERT_EQ(parts.train(2, with(bf16_products, {"training.steps=6"})), 0);
  EXPECT_EQ(whole.summary()["state_hash"], parts.summary()["state_hash"]);
}

TEST(Precision, LearnsAsF32DoesWithOtherBits) {
  const TinyRun narrow, wide;
  ASSERT_EQ(narrow.train(1, with(bf16_products, {"training.steps=30"})), 0);
  ASSERT_EQ(wide.train(1, {"training.steps=30"}), 0);
  const double a = narrow.losses().back(), b = wide.losses().back();
  EXPECT_NE(a, b);
  EXPECT_NEAR(a, b, 0.02 * b);
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

}  // namespace
}  // namespace ringmaster::train
