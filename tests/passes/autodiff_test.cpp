// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ir/eval.h"
#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

// loss = 3 * sum over grains of sum(w * x) / weight, so dloss/dw = 3 * sum of x / weight
const char* const product = R"(program p
state weight f32[2] "w"
for grain
  %x f32[2] = input() name="x" shape=[2]
  %w f32[2] = state_read() name="w" shape=[2]
  %wx f32[2] = mul(%w, %x)
  %s f32[] = sum(%wx) dims=[0]
  %t f32[] = loss_term(%s) weight="n" coefficient=3.0
step
  %v f32[2] = state_read() name="w" shape=[2]
  %g f32[2] = gradient(%v)
  output(%g) name="g"
)";

TEST(Autodiff, GradientsLeaveGrainsThroughGrainSumAlone) {
  ir::Graph graph = graph_of(product);
  autodiff(graph, {});
  ir::verify(graph, "autodiff");
  const std::string text = ir::print(graph);
  EXPECT_EQ(text.find("gradient("), std::string::npos) << text;
  EXPECT_EQ(text.find("loss_term("), std::string::npos) << text;
  EXPECT_NE(text.find("= grain_sum("), std::string::npos) << text;
}

TEST(Autodiff, SeedIsCoefficientOverGlobalWeight) {
  ir::Graph graph = graph_of(product);
  autodiff(graph, {});
  const ir::Type type{DType::f32, {2}};
  ir::EvalInputs in{.inputs = {{"x", {{type, {1, 2}}, {type, {10, 20}}}}},
                    .scalars = {{"n", 4}},
                    .states = {{"w", {type, {5, 6}}}},
                    .num_grains = 2};
  const auto out = ir::evaluate(graph, in);
  EXPECT_EQ(out.at("g").data, (std::vector<double>{3 * 11 / 4.0, 3 * 22 / 4.0}));
}

TEST(Autodiff, ParameterThatTheLossIgnoresHasZeroGradient) {
  ir::Graph graph = graph_of(R"(program p
state weight f32[2] "w"
state weight f32[3] "unused"
for grain
  %w f32[2] = state_read() name="w" shape=[2]
  %s f32[] = sum(%w) dims=[0]
  %t f32[] = loss_term(%s) weight="n"
step
  %v f32[3] = state_read() name="unused" shape=[3]
  %g f32[3] = gradient(%v)
  output(%g) name="g"
)");
  autodiff(graph, {});
  ir::verify(graph, "autodiff");
  ir::EvalInputs in{.scalars = {{"n", 1}},
                    .states = {{"w", {{DType::f32, {2}}, {1, 2}}}, {"unused", {{DType::f32, {3}}, {1, 2, 3}}}}};
  EXPECT_EQ(ir::evaluate(graph, in).at("g").data, std::vector<double>(3));
}

TEST(Autodiff, TermsWithTheirOwnWeightsAddUp) {
  ir::Graph graph = graph_of(R"(program p
state weight f32[] "w"
for grain
  %w f32[] = state_read() name="w"
  %a f32[] = scale(%w) factor=2.0
  %b f32[] = mul(%w, %w)
  %s f32[] = loss_term(%a) weight="m"
  %t f32[] = loss_term(%b) weight="n" coefficient=10.0
step
  %v f32[] = state_read() name="w"
  %g f32[] = gradient(%v)
  output(%g) name="g"
)");
  autodiff(graph, {});
  ir::EvalInputs in{.scalars = {{"m", 4}, {"n", 5}}, .states = {{"w", {{DType::f32, {}}, {7}}}}};
  EXPECT_DOUBLE_EQ(ir::evaluate(graph, in).at("g").data[0], 2.0 / 4 + 10 * 2 * 7.0 / 5);
}

// A tied table: read where tokens are looked up and again at the head. loss = sum(2 w) + sum(w x)
TEST(Autodiff, EveryReadOfAStateCountsOnce) {
  ir::Graph graph = graph_of(R"(program p
state weight f32[2] "w"
for grain
  %x f32[2] = input() name="x" shape=[2]
  %w f32[2] = state_read() name="w" shape=[2]
  %a f32[2] = scale(%w) factor=2.0
  %v f32[2] = state_read() name="w" shape=[2]
  %b f32[2] = mul(%v, %x)
  %c f32[2] = add(%a, %b)
  %s f32[] = sum(%c) dims=[0]
  %t f32[] = loss_term(%s) weight="n"
step
  %r f32[2] = state_read() name="w" shape=[2]
  %g f32[2] = gradient(%r)
  output(%g) name="g"
)");
  autodiff(graph, {});
  ir::verify(graph, "autodiff");
  const ir::Type type{DType::f32, {2}};
  ir::EvalInputs in{.inputs = {{"x", {{type, {30, 50}}}}}, .scalars = {{"n", 1}}, .states = {{"w", {type, {5, 6}}}}};
  EXPECT_EQ(ir::evaluate(graph, in).at("g").data, (std::vector<double>{32, 52}));
}

}  // namespace
}  // namespace ringmaster::passes
