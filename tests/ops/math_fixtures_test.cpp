// SPDX-License-Identifier: Apache-2.0
// Small mathematics with known answers: a random walk, a quadratic form and its minimum, a directional derivative.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/eval.h"
#include "ops/gradient.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

const ir::Type pair{DType::f32, {2}}, number{DType::f32, {}};

// P(k heads of n) = C(n, k) / 2^n; chi-square over the n + 1 outcomes has n degrees of freedom.
TEST(MathFixtures, RandomWalkIsBinomial) {
  constexpr int64_t walks = 20000, n = 8;
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  output(sum(greater(uniform(b, {walks, n}), full(b, number, 0.5)), {1}, false), "heads");
  ir::EvalInputs in{.context = {.seed = 7}};
  std::vector<double> seen(n + 1);
  const auto out = ir::evaluate(graph, in);
  for (const double heads : out.at("heads").data) ++seen.at(static_cast<size_t>(heads));
  double chi_square = 0, ways = 1;
  for (int64_t k = 0; k <= n; ++k) {
    const double expected = walks * ways / std::pow(2.0, n), d = seen[static_cast<size_t>(k)] - expected;
    chi_square += d * d / expected;
    ways = ways * static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  EXPECT_LT(chi_square, 26.1);  // of 8 degrees of freedom: exceeded once in a thousand
  EXPECT_GT(chi_square, 0.86);  // and undershot once in a thousand: too even is not random either
}

// f(x) = x' A x + b' x with A = [2 0.5; 0.5 1], b = [1 -3]; the minimum is -A^-1 b / 2, the curvature 2 A.
const std::vector<double> linear_term{1.0, -3.0}, minimum_at{-5.0 / 7, 13.0 / 7};
const double largest_eigenvalue = 1.5 + std::sqrt(0.5);

Tensor quadratic(ir::Builder& b, Tensor x) {
  const Tensor form = input(b, "A", {DType::f32, {2, 2}}), column = reshape(x, {2, 1});
  return sum(column * matmul(form, column)) + sum(input(b, "b", pair) * x);
}

// x after `steps` updates from [3 4]
std::vector<double> minimise(const std::string& optimizer, double lr, int steps, double momentum = 0.0) {
  ir::Graph graph;
  for (const char* name : {"x", "first", "second"}) graph.add_state({name, pair});
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  const Tensor x = state_read(b, "x"), first = state_read(b, "first"), rate = scalar(b, "lr"), step = scalar(b, "step");
  const Tensor slope = gradient(quadratic(b, x), x), one = full(b, number, 1.0),
               commit = full(b, {DType::i32, {}}, 1.0);
  if (optimizer == "sgd") {
    const Sgd next = sgd(x, {slope}, first, rate, step, one, commit, {.momentum = momentum});
    state_write(next.weight, "x");
    state_write(next.velocity, "first");
  } else {
    const Adam next = adam(x, {slope}, first, state_read(b, "second"), rate, step, one, commit, {});
    state_write(next.weight, "x");
    state_write(next.first, "first");
    state_write(next.second, "second");
  }
  ir::EvalInputs in{.inputs = {{"A", {{{DType::f32, {2, 2}}, {2, 0.5, 0.5, 1}}}}, {"b", {{pair, linear_term}}}}};
  in.states = {{"x", {pair, {3, 4}}}, {"first", {pair, {0, 0}}}, {"second", {pair, {0, 0}}}};
  for (int t = 1; t <= steps; ++t) {
    // Adam's steps have the length of lr: it comes to rest only as lr falls
    in.scalars = {{"lr", optimizer == "adam" ? lr * (1.0 - static_cast<double>(t - 1) / steps) : lr}, {"step", t}};
    ir::evaluate(graph, in);
  }
  return in.states.at("x").data;
}

double distance(const std::vector<double>& x) { return std::hypot(x[0] - minimum_at[0], x[1] - minimum_at[1]); }

TEST(MathFixtures, EveryOptimizerFindsTheMinimumOfAQuadraticForm) {
  EXPECT_LT(distance(minimise("sgd", 0.2, 300)), 1e-9);
  EXPECT_LT(distance(minimise("sgd", 0.05, 600, 0.9)), 1e-9);
  EXPECT_LT(distance(minimise("adam", 0.1, 2000)), 1e-3);
}

// The error along the steepest axis is multiplied by 1 - 2 lr lambda.
TEST(MathFixtures, DescentDivergesOnlyBeyondOneOverTheLargestEigenvalue) {
  EXPECT_LT(distance(minimise("sgd", 0.99 / largest_eigenvalue, 2000)), 1e-6);
  EXPECT_GT(distance(minimise("sgd", 1.01 / largest_eigenvalue, 2000)), 1e6);
}

// f = x^2 + y^2 at (1, 2): the slope along (3, 4) / 5 is 4.4, along (1, 0) it is 2
TEST(MathFixtures, DirectionalDerivativeIsTheGradientAlongTheDirection) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  const Tensor at = input(b, "at", pair), slope = gradient(sum(square(at)), at);
  output(sum(slope * input(b, "direction", pair)), "along");
  const auto along = [&](std::vector<double> direction) {
    ir::EvalInputs in{.inputs = {{"at", {{pair, {1, 2}}}}, {"direction", {{pair, std::move(direction)}}}}};
    return ir::evaluate(graph, in).at("along").data[0];
  };
  EXPECT_DOUBLE_EQ(along({0.6, 0.8}), 4.4);
  EXPECT_DOUBLE_EQ(along({1, 0}), 2.0);
}

}  // namespace
}  // namespace ringmaster::ops
