// SPDX-License-Identifier: Apache-2.0
// The verifier refuses every broken program that a pass could leave behind, and names the pass.
#include <gtest/gtest.h>

#include "tests/ir/toy_ops.h"

namespace ringmaster::ir {
namespace {

void expect_broken(const Graph& graph, const std::string& message) {
  try {
    verify(graph, "some_pass");
    ADD_FAILURE() << "accepted: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::internal);
    EXPECT_NE(std::string(e.what()).find("after some_pass: "), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find(message), std::string::npos) << e.what();
  }
}

// for grain: %0 = where, %1 = grain_sum(%0);  step: %2 = plus(%1, %1)
Graph sound() {
  Graph graph("p");
  graph.add_region(RegionKind::for_grain);
  graph.add_region(RegionKind::step);
  graph.add_node(0, toy::where, {}, {}, "");
  graph.add_node(0, toy::grain_sum, {0}, {}, "");
  graph.add_node(1, toy::plus, {1, 1}, {}, "");
  return graph;
}

TEST(Verify, AcceptsASoundProgram) { EXPECT_NO_THROW(verify(sound(), "some_pass")); }

TEST(Verify, RefusesAUseBeforeTheDefinition) {
  Graph graph = sound();
  graph.reorder(0, {1, 0});
  expect_broken(graph, "%0 is used by grain_sum");
}

TEST(Verify, RefusesAUseOfARemovedNode) {
  Graph graph = sound();
  graph.remove(0);
  expect_broken(graph, "%0 is used by grain_sum");
}

TEST(Verify, RefusesANodeListedTwice) {
  Graph graph = sound();
  graph.reorder(0, {0, 0, 1});
  expect_broken(graph, "%0 is defined twice");
}

TEST(Verify, RefusesAGrainValueOutsideOfItsGrain) {
  Graph graph = sound();
  graph.add_node(1, toy::plus, {0, 0}, {}, "head");
  expect_broken(graph, "plus at head uses %0 of a grain");
}

TEST(Verify, RefusesAGrainSumReadBeforeAllGrainsHaveRun) {
  Graph graph = sound();
  graph.add_node(0, toy::plus, {1, 0}, {}, "");
  expect_broken(graph, "uses %1 before all grains have run");
}

TEST(Verify, RefusesAGrainExitInAStep) {
  Graph graph = sound();
  graph.add_node(1, toy::grain_sum, {2}, {}, "");
  expect_broken(graph, "grain_sum stands outside of a grain region");
}

TEST(Verify, RefusesANodeInTheListOfAnotherRegion) {
  Graph graph = sound();
  graph.reorder(0, {0, 1, 2});
  graph.reorder(1, {});
  expect_broken(graph, "stands in the list of another region");
}

TEST(Verify, RefusesTypesThatTheInputsDoNotGive) {
  Graph graph("p");
  graph.add_region(RegionKind::step);
  const auto input = [&](const char* name, Ints shape) {
    return graph.add_node(0, toy::input, {}, {{"name", std::string(name)}, {"shape", std::move(shape)}}, "");
  };
  input("x", {2});
  input("y", {3});
  const NodeId every = graph.add_node(0, toy::every, {0}, {}, "here");
  graph.node(every).inputs = {1};  // as replace_uses would
  expect_broken(graph, "every at here has other types than its inputs give");
}

TEST(Verify, RefusesAnUnknownState) {
  Graph graph = sound();
  graph.add_node(1, toy::state_write, {2}, {{"name", std::string("w")}}, "");
  expect_broken(graph, "state_write names no state: w");
}

TEST(Verify, RefusesAStateOfAnotherType) {
  Graph graph = sound();
  graph.add_state({"w", {DType::f32, {2}}});
  graph.add_node(1, toy::state_write, {2}, {{"name", std::string("w")}}, "");
  expect_broken(graph, "state_write of w has f32[], the state is f32[2]");
}

}  // namespace
}  // namespace ringmaster::ir
