// SPDX-License-Identifier: Apache-2.0
// recompute obeys the tags: a node of backward that reads what was not saved gets clones in front of it.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/eval.h"
#include "passes/forward.h"
#include "tests/passes/blocks.h"

namespace ringmaster::passes {
namespace {

// Forward ends in %loss; what follows is backward.
std::string program(const std::string& body) {
  return R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %g f32[2] = input() name="g" shape=[2]
  %h f32[2] = input() name="h" shape=[2]
)" + body +
         "step\n";
}
const std::string loss = R"(  %l f32[] = sum(%z) dims=[0,1]
  %loss f32[1] = grain_gather(%l) grains=1
)";
void expect(const std::string& before, const std::string& behind) {
  EXPECT_EQ(after(recompute, program(before)), normal(program(behind)));
}
void expect_same(const std::string& body) { expect(body, body); }

TEST(Recompute, WhatIsSavedIsRead) {
  expect_same("  %y f32[4,2] = gelu(%x)\n  %z f32[4,2] = exp(%y)\n" + loss + R"(  %d f32[4,2] = mul(%y, %x)
  %q f32[4,2] = grain_sum(%d)
)");
}

TEST(Recompute, AReaderInBackwardGetsACloneInFrontOfIt) {
  const std::string forward = "  %y f32[4,2] recompute 1 = gelu(%x)  @mlp\n  %z f32[4,2] = exp(%y)\n" + loss;
  expect(forward + R"(  %c f32[4,2] = exp(%x)
  %d f32[4,2] = mul(%y, %c)
  %q f32[4,2] = grain_sum(%d)
)",
         forward + R"(  %c f32[4,2] = exp(%x)
  %w f32[4,2] = gelu(%x)  @mlp again
  %d f32[4,2] = mul(%w, %c)
  %q f32[4,2] = grain_sum(%d)
)");
}

TEST(Recompute, TheCloneServesAllReaders) {
  const std::string forward = "  %y f32[4,2] recompute 1 = gelu(%x)\n  %z f32[4,2] = exp(%y)\n" + loss;
  expect(forward + R"(  %d f32[4,2] = mul(%y, %x)
  %e f32[4,2] = mul(%y, %d)
  %q f32[4,2] = grain_sum(%e)
)",
         forward + R"(  %w f32[4,2] = gelu(%x) again
  %d f32[4,2] = mul(%w, %x)
  %e f32[4,2] = mul(%w, %d)
  %q f32[4,2] = grain_sum(%e)
)");
}

TEST(Recompute, ClonesReachDownToWhatIsSavedInTheOrderOfForward) {
  const std::string forward = R"(  %a f32[4,2] = gelu(%x)
  %b f32[4,2] recompute 1 = exp(%a)
  %c f32[4,2] recompute 1 = exp(%a)
  %z f32[4,2] recompute 1 = mul(%c, %b)
)" + loss;
  expect(forward + R"(  %d f32[4,2] = exp(%z)
  %q f32[4,2] = grain_sum(%d)
)",
         forward + R"(  %b2 f32[4,2] = exp(%a) again
  %c2 f32[4,2] = exp(%a) again
  %z2 f32[4,2] = mul(%c2, %b2) again
  %d f32[4,2] = exp(%z2)
  %q f32[4,2] = grain_sum(%d)
)");
}

// %a is made for %b first; that does not keep it. It stays when its own reader asks.
TEST(Recompute, AValueTaggedTwoIsGoneAfterItsFirstReturn) {
  const std::string forward = R"(  %a f32[4,2] recompute 2 = gelu(%x)
  %b f32[4,2] recompute 1 = exp(%a)
  %z f32[4,2] = exp(%b)
)" + loss;
  expect(forward + R"(  %d f32[4,2] = exp(%b)
  %e f32[4,2] = mul(%a, %d)
  %f f32[4,2] = mul(%a, %e)
  %q f32[4,2] = grain_sum(%f)
)",
         forward + R"(  %a2 f32[4,2] = gelu(%x) again
  %b2 f32[4,2] = exp(%a2) again
  %d f32[4,2] = exp(%b2)
  %a3 f32[4,2] = gelu(%x) again
  %e f32[4,2] = mul(%a3, %d)
  %f f32[4,2] = mul(%a3, %e)
  %q f32[4,2] = grain_sum(%f)
)");
}

const std::string through_a_view = R"(  %a f32[4,2] recompute 1 = gelu(%x)
  %b f32[8] = reshape(%a) shape=[8]
  %c f32[8] = exp(%b)
  %z f32[4,2] = reshape(%c) shape=[4,2]
)" + loss;

TEST(Recompute, ViewsAreTakenOfTheClone) {
  expect(through_a_view + R"(  %d f32[8] = mul(%b, %c)
  %q f32[8] = grain_sum(%d)
)",
         through_a_view + R"(  %a2 f32[4,2] = gelu(%x) again
  %b2 f32[8] = reshape(%a2) shape=[8] again
  %d f32[8] = mul(%b2, %c)
  %q f32[8] = grain_sum(%d)
)");
}

TEST(Recompute, AViewOfWhatWasLostIsTakenAnew) {
  expect(through_a_view + R"(  %d f32[4,2] = exp(%a)
  %e f32[8] = mul(%b, %c)
  %q f32[4,2] = grain_sum(%d)
  %p f32[8] = grain_sum(%e)
)",
         through_a_view + R"(  %a2 f32[4,2] = gelu(%x) again
  %d f32[4,2] = exp(%a2)
  %b2 f32[8] = reshape(%a2) shape=[8] again
  %e f32[8] = mul(%b2, %c)
  %q f32[4,2] = grain_sum(%d)
  %p f32[8] = grain_sum(%e)
)");
}

TEST(Recompute, ANormStartsFromItsSavedSum) {
  const std::string forward = R"(  %a f32[4,2] = gelu(%x)
  %z f32[4,2] recompute 1, %m f32[4], %r f32[4], %s f32[4,2] = layer_norm(%a, %g, %h, %x) eps=0.001  @norm
)" + loss;
  expect(forward + R"(  %d f32[4,2] = mul(%z, %s)
  %q f32[4,2] = grain_sum(%d)
)",
         forward + R"(  %w f32[4,2], %m2 f32[4], %r2 f32[4] = layer_norm(%s, %g, %h) eps=0.001  @norm again
  %d f32[4,2] = mul(%w, %s)
  %q f32[4,2] = grain_sum(%d)
)");
}

TEST(Recompute, ANormWhoseSumIsGoneToo) {
  const std::string forward = R"(  %a f32[4,2] = gelu(%x)
  %z f32[4,2] recompute 1, %m f32[4], %r f32[4], %s f32[4,2] recompute 1 = layer_norm(%a, %g, %h, %x)  @norm
)" + loss;
  expect(forward + R"(  %d f32[4,2] = mul(%z, %s)
  %q f32[4,2] = grain_sum(%d)
)",
         forward + R"(  %w f32[4,2], %m2 f32[4], %r2 f32[4], %s2 f32[4,2] = layer_norm(%a, %g, %h, %x)  @norm again
  %d f32[4,2] = mul(%w, %s2)
  %q f32[4,2] = grain_sum(%d)
)");
}

TEST(Recompute, WhatStandsAmongForwardReadsForward) {
  expect_same(R"(  %y f32[4,2] recompute 1 = gelu(%x)
  %n f32[4,2] = exp(%y)
  %q f32[4,2] = grain_sum(%n)
  %z f32[4,2] = exp(%y)
)" + loss);
}

// Whatever the tags, a program yields what it did: run by the reference evaluator, node by node.
TEST(Recompute, RandomTagsChangeNothing) {
  std::mt19937 random(3);
  for (const ir::Graph& graph : {blocks(4), mlp_blocks(4, 5, 3)}) {
    const auto outputs = [&](const ir::Graph& program) {
      ir::EvalInputs in;
      const ir::Type x = graph.type(graph.node(!graph.states().empty() ? 1 : 0).outputs[0]);
      std::vector<double> values(static_cast<size_t>(x.shape.elements()));
      for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i));
      in.inputs["x"] = {{x, values}};
      for (const ir::State& s : graph.states())
        in.states[s.name] = {s.type, std::vector<double>(static_cast<size_t>(s.type.shape.elements()), 0.3)};
      std::map<std::string, std::vector<double>> out;
      for (const auto& [name, tensor] : ir::evaluate(program, in)) out[name] = tensor.data;
      return out;
    };
    const auto expected = outputs(graph);
    ASSERT_FALSE(expected.empty());
    for (int trial = 0; trial < 200; ++trial) {
      ir::Graph tagged = graph;
      const Forward forward(graph, 0);
      for (const Saveable& s : forward.values())
        if (!s.fixed) tagged.set_recompute(s.value, static_cast<int>(random() % 4));
      recompute(tagged, {});
      ir::verify(tagged, "recompute");
      ASSERT_EQ(outputs(tagged), expected) << ir::print(tagged);
    }
  }
}

}  // namespace
}  // namespace ringmaster::passes
