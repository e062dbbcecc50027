// SPDX-License-Identifier: Apache-2.0
// tag: which values each mode leaves to backward.
#include <gtest/gtest.h>

#include "passes/segments.h"
#include "tests/passes/blocks.h"

namespace ringmaster::passes {
namespace {

// "x1 y2 ..": the values that are made again
std::string again(const ir::Graph& graph) {
  std::string out;
  int of_block = 0;
  std::string block;
  for (const ir::NodeId id : graph.regions()[0].nodes) {
    const ir::Node& node = graph.node(id);
    if (block_of(node.scope) != block) of_block = 0;
    block = block_of(node.scope);
    if (!block.empty() && !node.outputs.empty() && graph.value(node.outputs[0]).recompute > 0)
      out += fmt::format("{}{}{}", out.empty() ? "" : " ", of_block == 0 ? "y" : "x", block.substr(2));
    ++of_block;
  }
  return out;
}

TEST(Segments, ABlockIsAScopeUpToItsFirstNumber) {
  EXPECT_EQ(block_of("transformer.h.3.attn.c_proj"), "transformer.h.3");
  EXPECT_EQ(block_of("down.0.block.1"), "down.0");
  EXPECT_EQ(block_of("transformer.ln_f"), "");
  EXPECT_EQ(block_of("h2.x"), "");
  EXPECT_EQ(block_of("12"), "12");
}

TEST(Segments, AreCutWhereTheStreamAlonePasses) {
  const ir::Graph graph = blocks(3);
  const Forward forward(graph, 0);
  const std::vector<Segment> segments = cut(graph, forward);
  ASSERT_EQ(segments.size(), 4U);  // the last one is the loss
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(segments[static_cast<size_t>(i)].name, fmt::format("h.{}", i));
    EXPECT_EQ(segments[static_cast<size_t>(i)].begin, 2 * i);
    EXPECT_EQ(segments[static_cast<size_t>(i)].passing, std::vector<int32_t>{2 * i + 1});
  }
  EXPECT_TRUE(segments.back().passing.empty());
}

// A norm that adds first makes the sum in the block behind: two values pass in front of it, one behind the sum.
TEST(Segments, AreCutBehindTheSumOfANorm) {
  const ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %g f32[2] = input() name="g" shape=[2]
  %a f32[4,2] = gelu(%x)  @h.0
  %b f32[4,2] = exp(%a)  @h.0
  %y f32[4,2], %m f32[4], %r f32[4], %s f32[4,2] = layer_norm(%a, %g, %g, %b)  @h.1.ln
  %z f32[4,2] = mul(%y, %s)  @h.1
  %l f32[] = sum(%z) dims=[0,1]
  %loss f32[1] = grain_gather(%l) grains=1
step
)");
  const Forward forward(graph, 0);
  const std::vector<Segment> segments = cut(graph, forward);
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_EQ(segments[0].end, 3);
  ASSERT_EQ(segments[0].passing.size(), 1U);
  EXPECT_EQ(forward.values()[2].value, graph.producer(forward.values()[2].value).outputs.back());
  EXPECT_EQ(segments[0].passing[0], 2);
}

TEST(Tag, ModeNoneSavesAll) {
  ir::Graph graph = blocks(4);
  EXPECT_EQ(tag(graph, {}), "of 256 bytes of forward that backward reads, 256 are saved");
  EXPECT_EQ(again(graph), "");
}

// Runs of the square root of their number; of each its last value stays, and all of the last run.
TEST(Tag, ModeBlockSavesTheEndsOfRuns) {
  for (const auto& [count, expected] : std::map<int, std::string>{{1, ""},
                                                                  {2, ""},
                                                                  {3, "y0 x0 y1"},
                                                                  {4, "y0 x0 y1"},
                                                                  {5, "y0 x0 y1 x1 y2"},
                                                                  {7, "y0 x0 y1 x1 y2 y3 x3 y4 x4 y5"}}) {
    ir::Graph graph = blocks(count);
    tag(graph, {.checkpointing = Checkpointing::block});
    EXPECT_EQ(again(graph), expected) << count << " blocks";
  }
}

// gelu and mul are no products: of a block what goes on to the next one suffices.
TEST(Tag, ModeSelectiveSavesWhatGoesOn) {
  ir::Graph graph = blocks(3);
  tag(graph, {.checkpointing = Checkpointing::selective});
  EXPECT_EQ(again(graph), "y0 y1 y2");
}

TEST(Tag, ModeSelectiveNeverRunsAProductAgain) {
  ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,4] = input() name="x" shape=[4,4]
  %a f32[4,4] = matmul(%x, %x)
  %b f32[4,4] = gelu(%a)
  %c f32[4,4] = matmul(%b, %x)
  %l f32[] = sum(%c) dims=[0,1]
  %loss f32[1] = grain_gather(%l) grains=1
  %d f32[4,4] = mul(%b, %c)
  %q f32[4,4] = grain_sum(%d)
step
)");
  tag(graph, {.checkpointing = Checkpointing::selective});
  const std::string text = ir::print(graph);
  EXPECT_EQ(text.find("recompute"), std::string::npos) << text;  // %b alone costs as much as %a alone, and no time
}

TEST(Tag, WithoutBackwardNothingIsTagged) {
  for (const Checkpointing mode : {Checkpointing::block, Checkpointing::selective}) {
    ir::Graph graph = graph_of(R"(program p
for grain
  %x f32[4,2] = input() name="x" shape=[4,2]
  %a f32[4,2] = gelu(%x)  @h.0
  %b f32[4,2] = gelu(%a)  @h.1
  %c f32[4,2] = gelu(%b)  @h.2
  %l f32[] = sum(%c) dims=[0,1]
  %loss f32[1] = grain_gather(%l) grains=1
step
)");
    tag(graph, {.checkpointing = mode});
    EXPECT_EQ(again(graph), "");
  }
}

}  // namespace
}  // namespace ringmaster::passes
