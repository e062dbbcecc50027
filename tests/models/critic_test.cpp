// SPDX-License-Identifier: Apache-2.0
// The losses of the adversarial recipes on a critic that is simple enough to work out by hand: f(x) = 3 relu(x0) - 5 relu(-x0) + b,
// whose slope is 3 on the right and 5 on the left.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/eval.h"
#include "models/models.h"
#include "passes/passes.h"

namespace ringmaster::models {
namespace {

constexpr int64_t batch = 400;
constexpr double right = 0.75, left = -0.25;  // real points lie at x0 = right, generated ones at x0 = left

config::Config settings(double penalty) {
  config::Config c;
  c.model = {.recipe = "wgan_gp", .layers = 1, .width = 2, .latent = 2, .gradient_penalty = penalty};
  c.training.global_batch_size = batch;
  c.training.grain_size = batch;
  return c;
}

// The loss of a phase of wgan_gp.
double loss_of(size_t phase, double penalty) {
  const config::Config c = settings(penalty);
  const auto recipe = wgan_gp(c);
  ir::Graph graph = trace_phase(*recipe, recipe->phases[phase], c);
  passes::run(graph, {.ranks = 1});
  ir::EvalInputs in{.scalars = {{"lr", 0}, {"step", 1}, {"samples", batch}}, .grain_size = batch};
  in.context = {.seed = 4};
  for (const ir::State& s : graph.states())
    in.states[s.name] = {s.type, std::vector<double>(static_cast<size_t>(s.type.shape.elements()))};
  in.states.at("critic.0.weight").data = {1, -1, 0, 0};  // [in, out]
  in.states.at("critic.1.weight").data = {3, -5};
  in.states.at("critic.1.bias").data = {2};
  in.states.at("generator.1.bias").data = {left, 9};
  ir::RefTensor x{{DType::f32, {batch, 2}}, {}};
  for (int64_t i = 0; i < batch; ++i) x.data.insert(x.data.end(), {right, static_cast<double>(i % 3)});
  in.inputs = {{"x", {x}}};
  return ir::evaluate(graph, in).at("loss").data[0];
}

TEST(CriticLoss, IsTheMeanOfGeneratedMinusThatOfReal) { EXPECT_NEAR(loss_of(0, 0.0), 5 * left - 3 * right, 1e-9); }

TEST(CriticLoss, PenaltyIsTheSquaredDistanceOfTheSlopeFromOneBetweenTheSets) {
  // between the sets x0 is uniform: (3 - 1)^2 on the right of 0, (5 - 1)^2 on the left
  const double share = right / (right - left), mean = share * 4 + (1 - share) * 16;
  const double deviation = 12 * std::sqrt(share * (1 - share) / batch);
  const double penalty = loss_of(0, 1.0) - loss_of(0, 0.0);
  EXPECT_NEAR(penalty, mean, 5 * deviation);
  EXPECT_NEAR(loss_of(0, 10.0) - loss_of(0, 0.0), 10 * penalty, 1e-6);
}

TEST(GeneratorLoss, IsWhatTheCriticThinksOfItNegated) { EXPECT_NEAR(loss_of(1, 10.0), -(5 * left + 2), 1e-9); }

}  // namespace
}  // namespace ringmaster::models
