// SPDX-License-Identifier: Apache-2.0
// wasserstein: the Wasserstein-1 distance of two sets of points by the Kantorovich-Rubinstein dual, W1 = sup mean f(x) - mean f(y)
// over all f of slope at most 1.   Arjovsky et al. 2017, arXiv:1701.07875, equation 2
//   B points of data.set and of data.other_set in a grain, D = 2 dims
// A certificate: for any f at all, (mean f(x) - mean f(y)) / (largest |f(x) - f(y)| / |x - y| over all pairs) <= W1. `sample` writes
// what it takes to check it.
#include "models/critic.h"
#include "models/models.h"
#include "ops/ops.h"

namespace ringmaster::models {

using namespace ops;

std::unique_ptr<Recipe> wasserstein(const config::Config& config) {
  const int64_t D = 2;
  const config::Model& c = config.model;
  auto recipe = std::make_unique<Recipe>("wasserstein");
  const Critic& critic = recipe->network<Critic>("critic", "critic", D, c);
  recipe->inputs = {{"x", DType::f32, {D}}, {"y", DType::f32, {D}}, {"mask", DType::f32, {}}};

  const Loss loss = [&critic, c](const Batch& batch) -> std::vector<Term> {
    return critic_loss(critic, batch, batch["x"], batch["y"], c);
  };
  const Loss gap = [&critic](const Batch& batch) -> std::vector<Term> {
    return {{.sum = sum((critic(batch["x"]) - critic(batch["y"])) * batch["mask"]), .weight = batch.count("mask")}};
  };
  recipe->phases = {
      {.name = "critic", .updates = {"critic"}, .loss = loss, .averaged = true, .weight_limit = c.weight_clip}};
  recipe->evaluators = {{.name = "validation", .loss = gap, .unit = "(the critic's distance)", .ranks_steps = false}};
  recipe->rows = {.columns = {"x0", "x1", "f(x)", "y0", "y1", "f(y)"},
                  .batch = 64,
                  .rows =
                      [&critic](const Batch& batch) {
                        const Tensor x_BD = batch["x"], y_BD = batch["y"];
                        const auto column = [&](Tensor f_B) { return reshape(f_B, {f_B.dim(0), 1}); };
                        const Tensor parts[] = {x_BD, column(critic(x_BD)), y_BD, column(critic(y_BD))};
                        return concat(parts, 1);
                      },
                  .points = {{0, 1, "x: " + config.data.set}, {3, 4, "y: " + config.data.other_set}}};
  return recipe;
}

}  // namespace ringmaster::models
