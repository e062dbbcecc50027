// SPDX-License-Identifier: Apache-2.0
// gradient() and decompose() on whole graphs: what the walk does between ops. Each op's own gradient is in the conformance suite.
#include "ops/gradient.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "ir/eval.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

struct Program {
  ir::Graph graph;
  ir::Builder builder{graph};
  ir::EvalInputs data;

  Program() { builder.enter_region(graph.add_region(ir::RegionKind::step)); }
  Tensor given(const std::string& name, std::vector<double> values) {
    const ir::Type type{DType::f32, {static_cast<int64_t>(values.size())}};
    data.inputs[name] = {{type, std::move(values)}};
    return input(builder, name, type);
  }
  std::vector<Tensor> by(Tensor y, std::vector<Tensor> xs) { return gradient(y, full(builder, y.type(), 1.0), xs); }
  std::vector<double> value(Tensor t) {
    output(t, "value");
    ir::verify(graph, "test");
    return ir::evaluate(graph, data).at("value").data;
  }
};

// x ---> a = 3 x ---> y = a * b        dy/dx = 3 b + 2 x a = 9 x^2
//   \--> b = x * x --/
TEST(Gradient, AddsWhatArrivesOverBothSidesOfADiamond) {
  Program p;
  const Tensor x = p.given("x", {2, -1});
  const Tensor y = scale(x, 3.0) * square(x);
  EXPECT_EQ(p.value(p.by(y, {x})[0]), (std::vector<double>{36, 9}));
}

TEST(Gradient, OfAnInputUsedTwiceInOneOp) {
  Program p;
  const Tensor x = p.given("x", {3});
  EXPECT_EQ(p.value(p.by(x * x, {x})[0]), std::vector<double>{6});
}

TEST(Gradient, IsInvalidForAnInputThatDoesNotMatter) {
  Program p;
  const Tensor x = p.given("x", {1}), unused = p.given("unused", {1});
  const auto d = p.by(exp(x), {x, unused});
  EXPECT_TRUE(d[0].valid());
  EXPECT_FALSE(d[1].valid());
}

TEST(Gradient, EmitsNothingForInputsNobodyWants) {
  Program p;
  const Tensor x = p.given("x", {1}), other = p.given("other", {2});
  const Tensor y = x * exp(other);
  const int64_t before = p.graph.live_nodes();
  const Tensor dx = p.by(y, {x})[0];
  EXPECT_EQ(p.graph.live_nodes(), before + 2);  // the seed, and dx = dy * exp(other)
  EXPECT_EQ(p.graph.producer(dx.id()).op->name, std::string("mul"));
}

TEST(Gradient, OfYByItselfIsTheSeed) {
  Program p;
  const Tensor x = p.given("x", {1, 2});
  EXPECT_EQ(p.value(p.by(x, {x})[0]), (std::vector<double>{1, 1}));
}

TEST(Gradient, ByAnIntermediateValue) {
  Program p;
  const Tensor x = p.given("x", {0.5}), h = scale(x, 4.0);
  EXPECT_EQ(p.value(p.by(square(h), {h})[0]), std::vector<double>{4});
}

TEST(Gradient, StopsAtStopGradient) {
  Program p;
  const Tensor x = p.given("x", {5});
  EXPECT_EQ(p.value(p.by(stop_gradient(x) * x, {x})[0]), std::vector<double>{5});
  EXPECT_FALSE(p.by(stop_gradient(square(x)), {x})[0].valid());
}

TEST(Gradient, FillsTheUnusedPiecesOfASplitWithZeros) {
  Program p;
  const Tensor x = p.given("x", {1, 2, 3});
  const auto pieces = split(x, 0, {1, 2});
  EXPECT_EQ(p.value(p.by(square(pieces[1]), {x})[0]), (std::vector<double>{0, 4, 6}));
}

// d^3 (x^4) / dx^3 = 24 x
TEST(Gradient, OfAGradientOfAGradient) {
  Program p;
  const Tensor x = p.given("x", {1.5});
  Tensor y = square(square(x));
  for (int order = 0; order < 3; ++order) y = p.by(y, {x})[0];
  EXPECT_EQ(p.value(y), std::vector<double>{36});
}

// The scope of a forward node is the scope of its backward nodes, so that a plan can name them.
TEST(Gradient, KeepsTheScopeOfTheForwardNode) {
  Program p;
  const Tensor x = p.given("x", {1});
  p.builder.set_scope("gpt.head");
  const Tensor y = exp(x);
  p.builder.set_scope("elsewhere");
  EXPECT_EQ(p.graph.producer(p.by(y, {x})[0].id()).scope, "gpt.head");
  EXPECT_EQ(p.builder.scope(), "elsewhere");
}

TEST(Gradient, OfAChainOfAHundredThousandNodes) {
  Program p;
  const Tensor x = p.given("x", {1});
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = shift(y, 1.0);
  const Tensor dx = p.by(y, {x})[0];
  EXPECT_EQ(p.value(dx), std::vector<double>{1});
  const ir::Graph again = ir::parse(ir::print(p.graph), find);
  EXPECT_EQ(again.live_nodes(), p.graph.live_nodes());
}

TEST(Gradient, AChainOfFusedOpsIsDecomposedIntoAHundredThousandNodes) {
  Program p;
  Tensor y = p.given("x", {1});
  for (int i = 0; i < 20'000; ++i) y = gelu(y);
  decompose(p.builder);
  EXPECT_GT(p.graph.live_nodes(), 100'000);
  for (const ir::NodeId id : p.graph.regions()[0].nodes) ASSERT_EQ(p.graph.node(id).op->decompose, nullptr);
  ir::verify(p.graph, "decompose");
}

TEST(Gradient, OfADifferentiableOpWithoutOneIsTheUsersError) {
  const ir::OpDef floor{.name = "floor", .doc = "", .min_inputs = 1, .max_inputs = 1, .infer = [](const ir::OpView& v) {
                          return std::vector<ir::Type>{v.in[0]};
                        }};
  Program p;
  const Tensor x = p.given("x", {1});
  p.builder.set_scope("here");
  const Tensor y = p.builder.emit1(floor, {x});
  try {
    p.by(y, {x});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::config);
    EXPECT_EQ(e.info().message, "floor at here has no gradient");
    EXPECT_EQ(e.info().cure, "wrap its input in stop_gradient");
  }
}

TEST(Decompose, LeavesOnlyPrimitivesInPlaceOfTheOp) {
  Program p;
  const Tensor x = p.given("x", {0.5, -2});
  const Tensor y = shift(gelu(x), 1.0);
  const std::vector<double> before = p.value(y);
  decompose(p.builder);
  for (const ir::NodeId id : p.graph.regions()[0].nodes) EXPECT_EQ(p.graph.node(id).op->decompose, nullptr);
  ir::verify(p.graph, "decompose");
  const std::vector<double> after = ir::evaluate(p.graph, p.data).at("value").data;
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-12);
}

// What the ops' callers promise beyond one node.
TEST(Callers, SumOverDimsThatAreNotAdjacent) {
  Program p;
  const Tensor x = reshape(p.given("x", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), {2, 3, 2});
  EXPECT_EQ(p.value(sum(x, {0, 2}, false)), (std::vector<double>{18, 26, 34}));
  EXPECT_EQ(sum(x, {-1, 0}, true).shape(), (Shape{1, 3, 1}));
}

TEST(Callers, SumToReversesABroadcast) {
  Program p;
  const Tensor x = reshape(p.given("x", {1, 2, 3, 4, 5, 6}), {1, 2, 3});
  EXPECT_EQ(p.value(sum_to(x, {2, 1})), (std::vector<double>{6, 15}));
  EXPECT_EQ(sum_to(x, {2, 3}).shape(), (Shape{2, 3}));
}

TEST(Callers, LeaveOutWhatDoesNothing) {
  Program p;
  const Tensor x = p.given("x", {1, 2});
  EXPECT_EQ(reshape(x, x.shape()).id(), x.id());
  EXPECT_EQ(cast(x, DType::f32).id(), x.id());
  EXPECT_EQ(dropout(x, 0.0).id(), x.id());
  EXPECT_EQ(sum_to(x, x.shape()).id(), x.id());
  EXPECT_EQ(broadcast_to(x, x.shape()).id(), x.id());
}

TEST(Callers, TwoDropoutsOfOneScopeDrawDifferentMasks) {
  const auto masks = [](const std::string& scope) {
    Program p;
    p.builder.set_scope(scope);
    const Tensor x = p.given("x", std::vector<double>(256, 1.0));
    const Tensor both = concat(std::vector<Tensor>{dropout(x, 0.5), dropout(x, 0.5)}, 0);
    return p.value(both);
  };
  const std::vector<double> a = masks("a"), b = masks("b");
  EXPECT_NE(std::vector<double>(a.begin(), a.begin() + 256), std::vector<double>(a.begin() + 256, a.end()));
  EXPECT_NE(a, b);
  EXPECT_EQ(a, masks("a"));
}

}  // namespace
}  // namespace ringmaster::ops
