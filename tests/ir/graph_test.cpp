// SPDX-License-Identifier: Apache-2.0
// The graph, the builder and the reference evaluator.
#include <gtest/gtest.h>

#include "tests/ir/toy_ops.h"

namespace ringmaster::ir {
namespace {

Graph read(const std::string& text) {
  Graph graph = parse(text, toy::find);
  verify(graph, "parse");
  return graph;
}

RefTensor f32(std::vector<double> data) { return {{DType::f32, {static_cast<int64_t>(data.size())}}, std::move(data)}; }

TEST(Graph, ReferencesToTypesSurviveNewNodes) {
  Graph graph;
  graph.add_region(RegionKind::step);
  graph.add_node(0, toy::where, {}, {}, "");
  const Type* type = &graph.type(0);
  for (int i = 0; i < 10000; ++i) graph.add_node(0, toy::where, {}, {}, "");
  EXPECT_EQ(type, &graph.type(0));
}

TEST(Graph, FillsInDefaultAttributesInTheirOrder) {
  const Attrs attrs = complete(toy::every, {{"dims", Ints{}}, {"flag", true}});
  EXPECT_EQ(attrs.items().front().first, "flag");
  EXPECT_EQ(attrs.items().back().first, "dims");
  EXPECT_EQ(attrs.integer("count"), 3);
  EXPECT_EQ(attrs.number("ratio"), 0.5);
  EXPECT_EQ(attrs.text("label"), "x");
}

TEST(Graph, InsertsBeforeAPosition) {
  Graph graph = read("program p\nstep\n  %0 f32[] = where()\n  output(%0) name=\"y\"\n");
  graph.add_node(0, toy::plus, {0, 0}, {}, "", 1);
  EXPECT_EQ(print(graph),
            "program p\nstep\n  %0 f32[] = where()\n  %1 f32[] = plus(%0, %0)\n  output(%0) name=\"y\"\n");
}

TEST(Graph, ListsUsersInExecutionOrderOncePerUse) {
  const Graph graph =
      read("program p\nstep\n  %0 f32[] = where()\n  %1 f32[] = plus(%0, %0)\n  output(%0) name=\"y\"\n");
  EXPECT_EQ(graph.users()[0], (std::vector<NodeId>{1, 1, 2}));
}

TEST(Graph, RemovedNodesLeaveTheListsAndTheText) {
  Graph graph = read("program p\nstep\n  %0 f32[] = where()\n  %1 f32[] = plus(%0, %0)\n");
  graph.remove(1);
  EXPECT_EQ(graph.live_nodes(), 1);
  graph.compact();
  EXPECT_EQ(graph.regions()[0].nodes, std::vector<NodeId>{0});
  EXPECT_EQ(print(graph), "program p\nstep\n  %0 f32[] = where()\n");
}

TEST(Builder, KeepsItsPlaceWhileItInserts) {
  Graph graph = read("program p\nstep\n  %0 f32[] = where()\n  output(%0) name=\"y\"\n");
  Builder builder(graph);
  builder.enter_region(0, 1);
  const Tensor x(&builder, 0);
  const Tensor y = builder.emit1(toy::plus, {x, x});
  builder.emit1(toy::plus, {y, x});
  EXPECT_EQ(graph.regions()[0].nodes, (std::vector<NodeId>{0, 2, 3, 1}));
}

TEST(Builder, ScopesEndWithTheirBlock) {
  Graph graph;
  graph.add_region(RegionKind::step);
  Builder builder(graph);
  builder.set_scope("gpt");
  {
    const ScopeGuard guard(builder, "gpt.head");
    builder.emit1(toy::where, {});
  }
  builder.emit1(toy::where, {});
  EXPECT_EQ(graph.node(0).scope, "gpt.head");
  EXPECT_EQ(graph.node(1).scope, "gpt");
}

TEST(Builder, CountsCallsPerScope) {
  Graph graph;
  Builder builder(graph);
  EXPECT_EQ(builder.next_call("a"), 0);
  EXPECT_EQ(builder.next_call("a"), 1);
  EXPECT_EQ(builder.next_call("b"), 0);
}

TEST(Evaluator, SumsAndGathersOverGrains) {
  const Graph graph = read(R"(program p
for grain
  %0 f32[2] = input() name="x" shape=[2]
  %1 f32[2] = grain_sum(%0)
  %2 f32[] = where()
  %3 f32[3] = grain_gather(%2) grains=3
step
  output(%1) name="sum"
  output(%3) name="first samples"
)");
  EvalInputs in{.context = {.first_sample = 100}, .num_grains = 3, .grain_size = 4};
  in.inputs["x"] = {f32({1, 10}), f32({2, 20}), f32({3, 30})};
  const auto out = evaluate(graph, in);
  EXPECT_EQ(out.at("sum").data, (std::vector<double>{6, 60}));
  EXPECT_EQ(out.at("first samples").data, (std::vector<double>{100, 104, 108}));
}

// A second run starts its sums afresh.
TEST(Evaluator, AccumulatorsStartAtTheFirstGrain) {
  const Graph graph = read(
      "program p\nfor grain\n  %0 f32[1] = input() name=\"x\" shape=[1]\n  %1 f32[1] = grain_sum(%0)\nstep\n  "
      "output(%1) name=\"y\"\n");
  EvalInputs in{.num_grains = 2};
  in.inputs["x"] = {f32({1}), f32({2})};
  EXPECT_EQ(evaluate(graph, in).at("y").data, evaluate(graph, in).at("y").data);
  EXPECT_EQ(evaluate(graph, in).at("y").data, std::vector<double>{3});
}

TEST(Evaluator, WritesStates) {
  const Graph graph = read(R"(program p
state weight f32[2] "w"
step
  %0 f32[2] = state_read() name="w" shape=[2]
  %1 f32[2] = plus(%0, %0)
  state_write(%1) name="w"
  output(%0) name="old"
)");
  EvalInputs in;
  in.states["w"] = f32({1, 2});
  EXPECT_EQ(evaluate(graph, in).at("old").data, (std::vector<double>{1, 2}));
  EXPECT_EQ(in.states["w"].data, (std::vector<double>{2, 4}));
}

TEST(Evaluator, GivesSeveralOutputsAndScalars) {
  const Graph graph = read(R"(program p
step
  %0 f32[4] = input() name="x" shape=[4]
  %1 f32[2], %2 f32[2] = halves(%0)
  %3 f32[] = scalar() name="lr"
  output(%2) name="second"
  output(%3) name="lr"
)");
  EvalInputs in{.scalars = {{"lr", 0.25}}};
  in.inputs["x"] = {f32({1, 2, 3, 4})};
  const auto out = evaluate(graph, in);
  EXPECT_EQ(out.at("second").data, (std::vector<double>{3, 4}));
  EXPECT_EQ(out.at("lr").data, std::vector<double>{0.25});
}

}  // namespace
}  // namespace ringmaster::ir
