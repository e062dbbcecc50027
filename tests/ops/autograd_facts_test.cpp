// SPDX-License-Identifier: Apache-2.0
// What a user of define-by-run autograd may rely on: the graph is what the C++ code executed, gradients accumulate, ties are
// shared, broadcasts are summed, and length is no obstacle.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/eval.h"
#include "ops/gradient.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

struct Program {
  ir::Graph graph;
  ir::Builder builder{graph};
  ir::EvalInputs data;

  Program() { builder.enter_region(graph.add_region(ir::RegionKind::step)); }
  Tensor given(const std::string& name, const Shape& shape, std::vector<double> values) {
    const ir::Type type{DType::f32, shape};
    data.inputs[name] = {{type, std::move(values)}};
    return input(builder, name, type);
  }
  std::vector<double> value(Tensor t) {
    output(t, "value");
    ir::verify(graph, "test");
    return ir::evaluate(graph, data).at("value").data;
  }
  std::vector<double> slope(Tensor y, Tensor x) { return value(gradient(sum(y), x)); }
};

using Values = std::vector<double>;

// The code that runs is the graph: a loop of n rounds, a branch on its counter.
TEST(AutogradFacts, LoopsAndBranchesOfTheTraceAreDifferentiatedAsTheyRan) {
  for (int n = 0; n <= 4; ++n) {
    Program p;
    const Tensor x = p.given("x", {1}, {1.5});
    Tensor y = x;
    double expected = 1.0;
    for (int i = 0; i < n; ++i) {
      y = i % 2 == 0 ? scale(y, 3.0) : shift(y, 1.0);
      expected *= i % 2 == 0 ? 3.0 : 1.0;
    }
    EXPECT_EQ(p.slope(y, x), Values{expected}) << n;
  }
}

TEST(AutogradFacts, AValueUsedKTimesGetsKGradients) {
  for (int k = 1; k <= 5; ++k) {
    Program p;
    const Tensor x = p.given("x", {2}, {1.0, -2.0});
    Tensor y = scale(x, 1.0);
    for (int i = 1; i < k; ++i) y = y + x;
    EXPECT_EQ(p.slope(y, x), Values(2, k));
  }
}

TEST(AutogradFacts, DifferentiatingTwiceBesideEachOtherChangesNothing) {
  Program p;
  const Tensor x = p.given("x", {2}, {1.0, -2.0});
  const Tensor y = sum(square(x));
  const Tensor first = gradient(y, x), second = gradient(y, x);
  EXPECT_EQ(p.value(concat(std::vector<Tensor>{first, second}, 0)), (Values{2, -4, 2, -4}));
}

TEST(AutogradFacts, StopGradientMakesAConstant) {
  Program p;
  const Tensor x = p.given("x", {1}, {3.0});
  EXPECT_EQ(p.slope(stop_gradient(square(x)) * x, x), Values{9});
}

TEST(AutogradFacts, GradientsOfABroadcastAreSummed) {
  Program p;
  const Tensor a = p.given("a", {2, 1}, {2.0, 3.0}), b = p.given("b", {3}, {5.0, 7.0, 11.0});
  EXPECT_EQ(p.slope(a * b, a), (Values{23, 23}));
  EXPECT_EQ(p.slope(a * b, b), (Values{5, 5, 5}));
  EXPECT_EQ(p.slope(maximum(a, b), b), (Values{2, 2, 2}));
}

TEST(AutogradFacts, TiesOfMaximumAndMinimumAreShared) {
  Program p;
  const Tensor a = p.given("a", {3}, {1.0, 2.0, 3.0}), b = p.given("b", {3}, {2.0, 2.0, 2.0});
  EXPECT_EQ(p.slope(maximum(a, b), a), (Values{0, 0.5, 1}));
  EXPECT_EQ(p.slope(maximum(a, b), b), (Values{1, 0.5, 0}));
  EXPECT_EQ(p.slope(minimum(a, b), a), (Values{1, 0.5, 0}));
  EXPECT_EQ(p.slope(minimum(a, b), b), (Values{0, 0.5, 1}));
  EXPECT_EQ(p.slope(maximum(a, a), a), (Values{1, 1, 1}));
}

TEST(AutogradFacts, RectifiersAtZeroTakeTheNegativeSide) {
  Program p;
  const Tensor x = p.given("x", {3}, {-1.0, 0.0, 1.0});
  EXPECT_EQ(p.slope(relu(x), x), (Values{0, 0, 1}));
  EXPECT_EQ(p.slope(leaky_relu(x, 0.25), x), (Values{0.25, 0.25, 1}));
  EXPECT_EQ(p.slope(abs(x), x), (Values{-1, 0, 1}));
}

TEST(AutogradFacts, CompositesAreWhatTheySay) {
  Program p;
  const Tensor x = p.given("x", {2, 2}, {3.0, 4.0, 0.0, 2.0}), y = p.given("y", {2, 2}, {5.0, 4.0, 1.0, 4.0});
  EXPECT_EQ(p.value(mean(x)), Values{2.25});
  EXPECT_EQ(p.value(mean(x, {0}, false)), (Values{1.5, 3}));
  EXPECT_EQ(mean(x, {-1}, true).shape(), (Shape{2, 1}));
  EXPECT_EQ(p.value(norm_last(x)), (Values{5, 2}));
  EXPECT_EQ(p.value(lerp(x, y, p.given("t", {2, 1}, {0.5, 1.0}))), (Values{4, 4, 1, 4}));
  EXPECT_EQ(p.value(-x), (Values{-3, -4, 0, -2}));
}

// The slope bound of a norm at 0 is its eps.
TEST(AutogradFacts, NormOfZeroHasASlopeWithEps) {
  Program p;
  const Tensor x = p.given("x", {1, 2}, {0.0, 0.0});
  EXPECT_EQ(p.slope(norm_last(x, 1e-12), x), (Values{0, 0}));
}

// tanh keeps every value alive for backward; no walk may recurse along the chain.
TEST(AutogradFacts, AChainOfAHundredThousandNodesIsDifferentiated) {
  Program p;
  const Tensor x = p.given("x", {1}, {0.5});
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = tanh(y);
  const Tensor dx = gradient(sum(y), x);
  EXPECT_GT(p.graph.live_nodes(), 500000);
  double at = 0.5, expected = 1.0;
  for (int i = 0; i < 100000; ++i) {
    at = std::tanh(at);
    expected *= 1.0 - at * at;
  }
  EXPECT_NEAR(p.value(dx)[0] / expected, 1.0, 1e-9);
}

}  // namespace
}  // namespace ringmaster::ops
