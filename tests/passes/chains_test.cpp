// SPDX-License-Identifier: Apache-2.0
// fuse joins elementwise nodes into chains. What it must keep: the order of all else, every bit, and who may read what when.
#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

std::string fused(const std::string& body) { return after(fuse, "program p\nfor grain\n" + body + "step\n"); }
std::string same(const std::string& body) { return normal("program p\nfor grain\n" + body + "step\n"); }

TEST(Chains, ASumAndItsCastAreOneNode) {  // the residual stream of backward
  EXPECT_EQ(fused(R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,2] = input() name="y" shape=[4,2]
  %s f32[4,2] = add(%x, %y)  @block
  %c bf16[4,2] = cast(%s) dtype="bf16"
  %a f32[2] = sum(%s) dims=[0]
  %b f32[2] = sum(%c) dims=[0] f32_out=true
  %g f32[2] = grain_sum(%a)
  %h f32[2] = grain_sum(%b)
)"),
            same(R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,2] = input() name="y" shape=[4,2]
  %s f32[4,2], %c bf16[4,2] = chain(%x, %y) program="2 = add 0 1; 3 = cast 2 dtype=bf16" results=[2,3]  @block
  %a f32[2] = sum(%s) dims=[0]
  %b f32[2] = sum(%c) dims=[0] f32_out=true
  %g f32[2] = grain_sum(%a)
  %h f32[2] = grain_sum(%b)
)"));
}

TEST(Chains, OperandsMayBeBroadcastButResultsHaveOneShape) {
  const std::string text = fused(R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[2] = input() name="y" shape=[2]
  %e f32[2] = exp(%y)
  %s f32[4,2] = mul(%x, %e)
  %t f32[4,2] = scale(%s) factor=0.5
  %g f32[4,2] = grain_sum(%t)
)");
  EXPECT_NE(text.find("%2 f32[2] = exp(%1)"), std::string::npos) << text;
  EXPECT_NE(text.find("chain(%0, %2) program=\"2 = mul 0 1; 3 = scale 2 factor=0.5\" results=[3]"), std::string::npos)
      << text;
}

TEST(Chains, WhatDependsOnAReaderStaysBehindIt) {  // exp -> sum -> div would be a cycle
  const std::string body = R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %e f32[4,2] = exp(%x)
  %s f32[4,1] = sum(%e) dims=[1] keep_dims=true
  %d f32[4,2] = div(%e, %s)
  %g f32[4,2] = grain_sum(%d)
)";
  EXPECT_EQ(fused(body), same(body));
}

TEST(Chains, TwoChainsMayNotWaitForEachOther) {
  // (a, d) stands behind q, and q behind (c, b), which reads p, which reads a
  const std::string text = fused(R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %y f32[4,2] = input() name="y" shape=[4,2]
  %a f32[4,2] = exp(%x)
  %p f32[4,2] = softmax(%a)
  %c f32[4,2] = tanh(%y)
  %b f32[4,2] = add(%p, %c)
  %q f32[4,2] = softmax(%b)
  %d f32[4,2] = add(%a, %q)
  %g f32[4,2] = grain_sum(%d)
)");
  EXPECT_NE(text.find("chain(%1, %3) program=\"2 = tanh 0; 3 = add 1 2\""), std::string::npos) << text;
  EXPECT_NE(text.find("= add(%2, "), std::string::npos) << text;
}

TEST(Chains, NothingMovesAheadOfAProduct) {  // the mask of relu's gradient would wait in memory for backward
  const std::string text = fused(R"(  %x f32[2,2] = input() name="x" shape=[2,2]
  %z f32[] = input() name="z" shape=[]
  %r f32[2,2] = relu(%x)
  %m f32[2,2] = matmul(%r, %r)
  %k f32[2,2] = greater(%r, %z)
  %a f32[2,2] = grain_sum(%m)
  %b f32[2,2] = grain_sum(%k)
)");
  EXPECT_EQ(text.find("chain("), std::string::npos) << text;
}

TEST(Chains, AReaderBetweenThemDoesNotDivideThem) {
  const std::string text = fused(R"(  %x f32[4,2] = input() name="x" shape=[4,2]
  %r f32[4,2] = relu(%x)
  %s f32[2] = sum(%r) dims=[0]
  %e f32[4,2] = exp(%r)
  %a f32[2] = grain_sum(%s)
  %b f32[4,2] = grain_sum(%e)
)");
  EXPECT_NE(text.find("= chain(%0) program=\"1 = relu 0; 2 = exp 1\" results=[1,2]"), std::string::npos) << text;
}

TEST(Chains, NoneReadsAStateBehindItsWrite) {
  const std::string text = after(fuse, R"(program p
state weight f32[4] "w"
step
  %w f32[4] = state_read() name="w" shape=[4]
  %x f32[4] = full() value=2.0 shape=[4]
  %a f32[4] = exp(%w)
  state_write(%x) name="w"
  %s f32[4] = softmax(%a)
  %b f32[4] = add(%a, %s)
  output(%b) name="b"
)");
  EXPECT_EQ(text.find("chain("), std::string::npos) << text;
}

TEST(Chains, IntegersStayOutside) {
  const std::string body = R"(  %i i32[4] = input() name="i" dtype="i32" shape=[4]
  %f f32[4] = cast(%i) dtype="f32"
  %e f32[4] = exp(%f)
  %g f32[4] = grain_sum(%e)
)";
  EXPECT_EQ(fused(body), same(body));
}

TEST(Chains, ALongLineIsCut) {
  std::string body = "  %v0 f32[4] = input() name=\"x\" shape=[4]\n";
  for (int i = 0; i < 200; ++i) body += fmt::format("  %v{} f32[4] = exp(%v{})\n", i + 1, i);
  ir::Graph graph = graph_of("program p\nfor grain\n" + body + "  %g f32[4] = grain_sum(%v200)\nstep\n");
  fuse(graph, {});
  EXPECT_EQ(graph.regions()[0].nodes.size(), 6U);  // input, four chains, grain_sum
}

// A random program of 30 nodes over three inputs, elementwise ones and softmax between them.
std::string random_program(uint64_t seed) {
  const RandomStream draws({seed, 1});
  std::string text = "program p\nfor grain\n";
  for (int i = 0; i < 3; ++i) text += fmt::format("  %v{0} f32[5,7] = input() name=\"x{0}\" shape=[5,7]\n", i);
  constexpr const char* unary[] = {"relu", "tanh", "softmax", "exp"};
  constexpr const char* binary[] = {"add", "sub", "mul", "maximum", "greater"};
  for (uint64_t i = 3; i < 33; ++i) {
    const PhiloxCounter w = draws.words(0, i);
    const uint64_t a = i - 1 - w[0] % std::min<uint64_t>(i, 6), b = i - 1 - w[1] % std::min<uint64_t>(i, 6);
    text += w[2] % 3 == 0 ? fmt::format("  %v{} f32[5,7] = {}(%v{})\n", i, unary[w[3] % 4], a)
                          : fmt::format("  %v{} f32[5,7] = {}(%v{}, %v{})\n", i, binary[w[3] % 5], a, b);
  }
  for (int i = 28; i < 33; ++i) text += fmt::format("  %g{0} f32[5,7] = grain_sum(%v{0})\n", i);
  return text + "step\n";
}

TEST(Chains, RandomProgramsStayPrograms) {  // verify, in after(), refuses a use before its definition
  int64_t chains = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    const std::string program = random_program(seed), text = after(fuse, program);
    EXPECT_EQ(after(fuse, program), text);
    ir::Graph before = graph_of(program), again = graph_of(program);
    fuse(again, {});
    for (const ir::NodeId id : again.regions()[0].nodes) {
      if (again.node(id).op->name == std::string("chain")) ++chains;
    }
    EXPECT_LE(again.regions()[0].nodes.size(), before.regions()[0].nodes.size());
  }
  EXPECT_GT(chains, 60);
}

}  // namespace
}  // namespace ringmaster::passes
