// SPDX-License-Identifier: Apache-2.0
// wgan_gp: a generator of points against a critic.   Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1; with model.weight_clip and
// no penalty it is Arjovsky et al. 2017, arXiv:1701.07875.
//   B points in a grain, D = 2 dims, Z latent
//   critic: model.critic_steps updates, each on new points and new noise; generator: one, on new noise; its average samples
#include "models/critic.h"
#include "models/models.h"
#include "ops/ops.h"

namespace ringmaster::models {

using namespace ops;  // a recipe reads like its paper

std::unique_ptr<Recipe> wgan_gp(const config::Config& config) {
  const int64_t D = 2;
  const config::Model& c = config.model;
  auto recipe = std::make_unique<Recipe>("wgan_gp");
  const nn::Mlp& generator = recipe->network<nn::Mlp>(
      "generator", "generator", nn::Mlp::Options{.in = c.latent, .width = c.width, .layers = c.layers, .out = D});
  const Critic& critic = recipe->network<Critic>("critic", "critic", D, c);
  recipe->inputs = {{"x", DType::f32, {D}}, {"mask", DType::f32, {}}};

  const auto fake = [&generator, Z = c.latent](const Batch& batch) { return generator(batch.normal("z", {Z})); };
  const Loss critic_phase = [&critic, fake, c](const Batch& batch) -> std::vector<Term> {
    return critic_loss(critic, batch, batch["x"], stop_gradient(fake(batch)), c);
  };
  const Loss generator_phase = [&critic, fake](const Batch& batch) -> std::vector<Term> {
    return {mean_term(-critic(fake(batch)))};
  };
  // The critic's estimate of the distance between held-out and generated points.
  const Loss distance = [&critic, fake](const Batch& batch) -> std::vector<Term> {
    return {{.sum = sum((critic(batch["x"]) - critic(fake(batch))) * batch["mask"]), .weight = batch.count("mask")}};
  };
  recipe->phases = {{.name = "critic",
                     .updates = {"critic"},
                     .loss = critic_phase,
                     .repeats = c.critic_steps,
                     .samples = Samples::fresh,
                     .weight_limit = c.weight_clip},
                    {.name = "generator", .updates = {"generator"}, .loss = generator_phase, .averaged = true}};
  recipe->evaluators = {
      {.name = "validation", .loss = distance, .unit = "(the critic's distance)", .ranks_steps = false}};
  recipe->rows = {.columns = {"x", "y"}, .batch = 256, .rows = fake, .points = {{0, 1, "samples"}}};
  return recipe;
}

}  // namespace ringmaster::models
