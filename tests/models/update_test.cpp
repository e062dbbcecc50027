// SPDX-License-Identifier: Apache-2.0
// How a phase updates its parameters, worked out by hand on one linear layer: y = x w + b, trained on the mean of y by plain SGD.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/eval.h"
#include "models/recipe.h"
#include "nn/layers.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::models {
namespace {

constexpr double lr = 0.25;

struct Layer {
  explicit Layer(double coefficient = 1.0) : recipe("layer") {
    const nn::Linear& net = recipe.network<nn::Linear>("net", "net", int64_t{3}, int64_t{2});
    recipe.inputs = {{"x", DType::f32, {3}}};
    const Loss loss = [&net, coefficient](const Batch& batch) -> std::vector<Term> {
      return {mean_term(ops::sum(net(batch["x"]), {1}, false), coefficient)};
    };
    recipe.phases = {{.name = "train", .updates = {"net"}, .loss = loss}};
    config.optimizer = {.name = "sgd", .weight_decay = 0.0, .momentum = 0.0};
    config.training.global_batch_size = 2;
    config.training.grain_size = 1;
    config.training.max_norm = 0.0;
  }

  struct Moved {
    std::vector<double> weight, bias;
    double norm() const {
      double squares = 0;
      for (const double d : weight) squares += d * d;
      for (const double d : bias) squares += d * d;
      return std::sqrt(squares);
    }
  };

  // What one step adds to the parameters, which start at 1.
  Moved step() const {
    ir::Graph graph = trace_phase(recipe, recipe.phases.front(), config);
    passes::run(graph, {.ranks = 1});
    ir::EvalInputs in{.scalars = {{"lr", lr}, {"step", 1}, {"samples", 2}}, .num_grains = 2};
    in.inputs["x"] = {{{DType::f32, {1, 3}}, {1, 2, 3}}, {{DType::f32, {1, 3}}, {5, 6, 7}}};
    for (const ir::State& s : graph.states()) {
      const double value = s.role == ir::StateRole::weight ? 1.0 : 0.0;
      in.states[s.name] = {s.type, std::vector<double>(static_cast<size_t>(s.type.shape.elements()), value)};
    }
    if (ir::evaluate(graph, in).at("fits").data[0] == 0) ir::evaluate(graph, in);  // now on grids of its own
    Moved moved{in.states.at("net.weight").data, in.states.at("net.bias").data};
    for (double& d : moved.weight) d -= 1;
    for (double& d : moved.bias) d -= 1;
    return moved;
  }

  Recipe recipe;
  config::Config config;
};

void expect_near(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-9) << i;
}

// d mean / d w[i][j] is the mean of x[i], d mean / d b[j] is 1
TEST(Update, FollowsTheGradientOfTheMean) {
  const Layer::Moved moved = Layer().step();
  expect_near(moved.weight, {-3 * lr, -3 * lr, -4 * lr, -4 * lr, -5 * lr, -5 * lr});
  expect_near(moved.bias, {-lr, -lr});
  expect_near(Layer(0.5).step().bias, {-0.5 * lr, -0.5 * lr});
}

TEST(Update, ClipsByTheNormOfAllGradientsTogether) {
  Layer layer;
  const Layer::Moved free = layer.step();
  layer.config.training.max_norm = 0.5;
  const Layer::Moved clipped = layer.step();
  EXPECT_NEAR(clipped.norm(), lr * 0.5, 1e-6);
  const double factor = clipped.norm() / free.norm();
  for (size_t i = 0; i < free.weight.size(); ++i) EXPECT_NEAR(clipped.weight[i], factor * free.weight[i], 1e-9);
  for (size_t i = 0; i < free.bias.size(); ++i) EXPECT_NEAR(clipped.bias[i], factor * free.bias[i], 1e-9);
}

TEST(Update, DecaysMatricesAndNothingElse) {
  Layer layer(0.0);  // without a gradient
  layer.config.optimizer.weight_decay = 0.1;
  const Layer::Moved moved = layer.step();
  expect_near(moved.weight, std::vector<double>(6, -lr * 0.1));
  expect_near(moved.bias, {0, 0});
  layer.config.optimizer.groups = {{.match = "bias", .weight_decay = 0.2}};
  expect_near(layer.step().bias, {-lr * 0.2, -lr * 0.2});
}

TEST(Update, TheFirstGroupThatMatchesWins) {
  Layer layer;
  layer.config.optimizer.groups = {{.match = "bias$", .lr_factor = 0.5}, {.match = "^net", .lr_factor = 2.0}};
  const Layer::Moved moved = layer.step();
  expect_near(moved.bias, {-0.5 * lr, -0.5 * lr});
  expect_near(moved.weight, {-6 * lr, -6 * lr, -8 * lr, -8 * lr, -10 * lr, -10 * lr});
}

}  // namespace
}  // namespace ringmaster::models
