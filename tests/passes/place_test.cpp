// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {
namespace {

struct Placed {
  ir::Graph graph;
  ir::StateLayout states;
  ir::Placement placement;
};

Placed placed(const std::string& text, int64_t local_grains = 1) {
  Placed p{graph_of(text), {}, {}};
  p.states = ir::lay_out(p.graph.states());
  p.placement = place(p.graph, {.local_grains = local_grains, .states = &p.states});
  return p;
}

// The value that output `name` of the program shows.
const ir::Place& place_of(const Placed& p, const std::string& output) {
  for (const ir::Region& region : p.graph.regions())
    for (const ir::NodeId id : region.nodes)
      if (p.graph.node(id).op->traits.role == ir::Role::output && p.graph.node(id).attrs.text("name") == output)
        return p.placement.values[static_cast<size_t>(p.graph.node(id).inputs[0])];
  throw std::runtime_error("no output " + output);
}

// No two buffers alive at the same time may overlap; every buffer lies below the peak.
void expect_sound(const ir::Placement& placement, int64_t floor) {
  int64_t top = floor;
  for (size_t i = 0; i < placement.buffers.size(); ++i) {
    const ir::Buffer& a = placement.buffers[i];
    EXPECT_EQ(a.offset % ir::arena_alignment, 0);
    EXPECT_GE(a.offset, floor);
    top = std::max(top, a.offset + a.bytes);
    for (size_t k = i + 1; k < placement.buffers.size(); ++k) {
      const ir::Buffer& b = placement.buffers[k];
      const bool together = a.first <= b.last && b.first <= a.last;
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      EXPECT_TRUE(!together || apart) << "buffers " << i << " and " << k;
    }
  }
  EXPECT_EQ(placement.peak_bytes, top);
}

TEST(Place, DyingInputIsOverwrittenInAChain) {
  const Placed p = placed(R"(program p
step
  %x f32[1024] = input() name="x" shape=[1024]
  %a f32[1024] = exp(%x)
  %b f32[1024] = scale(%a) factor=2.0
  %c f32[1024] = scale(%b) factor=3.0
  output(%c) name="y"
)");
  expect_sound(p.placement, 0);
  EXPECT_EQ(p.placement.peak_bytes, 2 * 4096);  // the batch and one buffer
}

TEST(Place, WhatIsAddedWhereItIsMadeLiesInTheSum) {
  const Placed p = placed(R"(program p
for grain
  %x f32[16,1024] = input() name="x" shape=[16,1024]
  %d f32[1024,1024] = matmul(%x, %x) transpose_a=true into_sum="first"
  %g f32[1024,1024] = grain_sum(%d)
step
  output(%g) name="g"
)");
  expect_sound(p.placement, 0);
  EXPECT_EQ(p.placement.peak_bytes, (16 * 1024 + 1024 * 1024) * 4);
}

// The activation is dead when the sum is first written, unless a grain before has written it.
TEST(Place, TheSumOfOneGrainTakesTheMemoryOfWhatDiedBefore) {
  const char* program = R"(program p
for grain
  %x f32[1024,1024] = input() name="x" shape=[1024,1024]
  %a f32[1024,1024] = exp(%x)
  %b f32[1024] = sum(%a) dims=[0]
  %c f32[1024,1024] = broadcast_to(%b) shape=[1024,1024]
  %d f32[1024,1024] = matmul(%c, %c) into_sum="first"
  %g f32[1024,1024] = grain_sum(%d)
step
  output(%g) name="g"
)";
  constexpr int64_t matrix = 1024 * 1024 * 4, vector = 1024 * 4;
  const Placed one = placed(program), two = placed(program, 2);
  expect_sound(one.placement, 0);
  expect_sound(two.placement, 0);
  EXPECT_EQ(one.placement.peak_bytes, (1 + 2) * matrix);
  EXPECT_EQ(two.placement.peak_bytes, (2 + 2) * matrix + vector);
  EXPECT_EQ(ir::by_category(one.placement, one.states).at(ir::Category::gradients), matrix);
}

// Forward is the fullest moment: neither gradient matters there.
TEST(Place, TheCategoriesAreThoseOfTheFullestMoment) {
  const Placed p = placed(R"(program p
for grain
  %x f32[64,64] = input() name="x" shape=[64,64]
  %a f32[64,64] = exp(%x)
  %w f32[4096,64,64] = broadcast_to(%a) shape=[4096,64,64]
  %s f32[64,64] = sum(%w) dims=[0]
  %d f32[64,64] = matmul(%s, %s) into_sum="first"
  %g f32[64,64] = grain_sum(%d)
  %e f32[64,64] = matmul(%s, %x) into_sum="first"
  %h f32[64,64] = grain_sum(%e)
step
  output(%g) name="g"
  output(%h) name="h"
)");
  constexpr int64_t matrix = 64 * 64 * 4;
  EXPECT_EQ(ir::fullest(p.placement.buffers).position, 2);
  const auto bytes = ir::by_category(p.placement, p.states);
  EXPECT_FALSE(bytes.contains(ir::Category::gradients));
  EXPECT_EQ(bytes.at(ir::Category::activations), (4096 + 1) * matrix);
}

TEST(Place, ANewValueGoesStraightToItsState) {
  const Placed p = placed(R"(program p
state weight f32[1024] "w"
state weight f32[1024] "v"
step
  %x f32[1024] = input() name="x" shape=[1024]
  %v f32[1024] = state_read() name="v" shape=[1024]
  %a f32[1024] = exp(%x)
  %b f32[1024] = scale(%v) factor=2.0
  %c f32[1024] = add(%b, %v)
  state_write(%a) name="w"
  state_write(%b) name="v"
  output(%c) name="c"
)");
  expect_sound(p.placement, p.states.end);
  // the batch, %b, whose state is read again behind it, and %c; %a needs no memory
  EXPECT_EQ(p.placement.peak_bytes, p.states.end + 3 * 4096);
}

TEST(Place, InputThatIsReadAgainIsNotOverwritten) {
  const Placed p = placed(R"(program p
step
  %x f32[1024] = input() name="x" shape=[1024]
  %a f32[1024] = exp(%x)
  %b f32[1024] = scale(%a) factor=2.0
  %c f32[1024] = add(%b, %a)
  output(%c) name="y"
  output(%a) name="a"
)");
  expect_sound(p.placement, 0);
  EXPECT_NE(place_of(p, "y").offset, place_of(p, "a").offset);
}

TEST(Place, ViewsShareTheirSourcesMemory) {
  const Placed p = placed(R"(program p
step
  %x f32[2,8] = input() name="x" shape=[2,8]
  %e f32[2,8] = exp(%x)
  %r f32[4,4] = reshape(%e) shape=[4,4]
  %a f32[1,4], %b f32[3,4] = split(%r) dim=0 sizes=[1,3]
  output(%e) name="e"
  output(%b) name="b"
)");
  expect_sound(p.placement, 0);
  EXPECT_EQ(place_of(p, "b").offset, place_of(p, "e").offset + 16);
}

TEST(Place, BinaryOpDoesNotOverwriteABufferItStillReadsThroughAView) {
  const Placed p = placed(R"(program p
step
  %x f32[4,4] = input() name="x" shape=[4,4]
  %e f32[4,4] = exp(%x)
  %a f32[1,4], %b f32[3,4] = split(%e) dim=0 sizes=[1,3]
  %s f32[4,4] = mul(%e, %a)
  output(%s) name="s"
)");
  expect_sound(p.placement, 0);
  const auto& buffers = p.placement.buffers;
  EXPECT_EQ(buffers.size(), 3U);  // the batch, e, and the product of its own
}

TEST(Place, LoopBodyKeepsWhatItReadsFromOutside) {
  const Placed p = placed(R"(program p
step
  %c f32[64] = full() value=2.0 shape=[64]
  %d f32[64] = exp(%c)
for grain
  %x f32[64] = input() name="x" shape=[64]
  %a f32[64] = mul(%x, %d)
  %b f32[64] = exp(%a)
  %g f32[64] = grain_sum(%b)
step
  output(%g) name="g"
)",
                          3);
  expect_sound(p.placement, 0);
  int64_t batches = 0;
  for (const ir::Buffer& b : p.placement.buffers) batches += b.category == ir::Category::batches ? b.bytes : 0;
  EXPECT_EQ(batches, 256 * 3);  // of three grains
}

TEST(Place, LastNodeOfALoopDoesNotOverwriteWhatTheNextGrainReads) {
  const Placed q = placed(R"(program p
step
  %c f32[64] = full() value=2.0 shape=[64]
for grain
  %x f32[64] = input() name="x" shape=[64]
  %g f32[64] = grain_sum(%x)
  %d f32[64] = exp(%c)
step
  output(%g) name="g"
)",
                          2);
  std::vector<int64_t> offsets;
  for (const ir::NodeId id : {0, 3})
    offsets.push_back(q.placement.values[static_cast<size_t>(q.graph.node(id).outputs[0])].offset);
  EXPECT_NE(offsets[0], offsets[1]);
}

TEST(Place, StateThatIsReadAgainIsNotOverwritten) {
  const auto offsets = [](const char* second_use) {
    const Placed p = placed(fmt::format(R"(program p
state weight f32[64] "w"
step
  %w f32[64] = state_read() name="w" shape=[64]
  %n f32[64] = scale(%w) factor=2.0
{}
  state_write(%n) name="w"
)",
                                        second_use));
    return std::pair(p.placement.values[0].offset, p.placement.values[1].offset);
  };
  const auto [read, next] = offsets("");
  EXPECT_EQ(read, next);  // nobody else reads it: updated in place
  const auto [read2, next2] = offsets("  %v f32[64] = state_read() name=\"w\" shape=[64]\n  output(%v) name=\"old\"");
  EXPECT_NE(read2, next2);
}

TEST(Place, BucketLiesInOnePiece) {
  const Placed p = placed(R"(program p
for grain
  %x f32[5] = input() name="x" shape=[5]
  %y f32[33] = input() name="y" shape=[33]
  %g f32[5] = grain_sum(%x)
  %h f32[33] = grain_sum(%y)
step
  %r f32[5], %s f32[33] = all_reduce(%g, %h) bucket=0
  output(%r) name="r"
  output(%s) name="s"
)");
  expect_sound(p.placement, 0);
  EXPECT_EQ(place_of(p, "s").offset, place_of(p, "r").offset + 64);
}

TEST(Place, RankWithoutGrainsStoresOnlyWhatLeavesThem) {
  const Placed p = placed(R"(program p
for grain
  %x f32[1000] = input() name="x" shape=[1000]
  %e f32[1000] = exp(%x)
  %g f32[1000] = grain_sum(%e)
step
  output(%g) name="g"
)",
                          0);
  EXPECT_EQ(p.placement.peak_bytes, ir::align_up(4000));
}

TEST(Place, RandomChainsAreSound) {
  const RandomStream random({.seed = 7});
  for (uint64_t trial = 0; trial < 200; ++trial) {
    std::string text = "program p\nstep\n  %v0 f32[16] = input() name=\"x\" shape=[16]\n";
    const char* const unary[] = {"exp", "tanh", "sqrt", "stop_gradient"};
    const uint64_t length = 3 + random.words(trial, 0)[0] % 20;
    for (uint64_t i = 1; i <= length; ++i) {
      const auto words = random.words(trial, i);
      const uint64_t a = words[0] % i, b = words[1] % i;
      text += words[2] % 2 == 0 ? fmt::format("  %v{} f32[16] = {}(%v{})\n", i, unary[words[3] % 4], a)
                                : fmt::format("  %v{} f32[16] = add(%v{}, %v{})\n", i, a, b);
    }
    text += fmt::format("  output(%v{}) name=\"y\"\n", length);
    expect_sound(placed(text).placement, 0);
  }
}

// The lowest offset where nothing alive at the same time lies, the largest buffer first: by looking at every pair.
TEST(Place, OffsetsAreThoseOfThePlainSearch) {
  const RandomStream random({.seed = 8});
  for (uint64_t trial = 0; trial < 100; ++trial) {
    std::string text = "program p\nstep\n  %v0 f32[] = input() name=\"x\" shape=[]\n";
    const uint64_t length = 3 + random.words(trial, 0)[0] % 60;
    for (uint64_t i = 1; i <= length; ++i) {  // buffers of seven sizes; each value is read again some time later
      const auto words = random.words(trial, i);
      const int64_t n = 16 << words[1] % 7;
      text += fmt::format("  %b{} f32[{}] = broadcast_to(%v{}) shape=[{}]\n", i, n, words[0] % i, n);
      text += fmt::format("  %v{} f32[] = sum(%b{}) dims=[0]\n", i, 1 + words[2] % i);
    }
    text += fmt::format("  output(%v{}) name=\"y\"\n", length);
    const ir::Placement placement = placed(text).placement;
    expect_sound(placement, 0);
    std::vector<ir::Buffer> order = placement.buffers, done;
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
    for (const ir::Buffer& buffer : order) {
      int64_t offset = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (const ir::Buffer& b : done) {
          const bool together = b.first <= buffer.last && buffer.first <= b.last;
          if (!together || offset + buffer.bytes <= b.offset || b.offset + b.bytes <= offset) continue;
          offset = b.offset + b.bytes;
          moved = true;
        }
      }
      ASSERT_EQ(buffer.offset, offset) << "trial " << trial << ", value " << buffer.value;
      done.push_back(buffer);
    }
  }
}

// Each tanh keeps its output for backward: a hundred thousand buffers alive at once. Quadratic work would take minutes.
TEST(Place, AChainOfAHundredThousandNodesPassesThePipeline) {
  ir::Graph graph("chain");
  graph.add_state({"w", {DType::f32, {16}}, ir::StateRole::weight});
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::for_grain));
  ir::Tensor y = ops::state_read(b, "w");
  for (int i = 0; i < 100'000; ++i) y = ops::tanh(y);
  ops::grain_gather(ops::loss_term(ops::sum(y), "n", 1.0), 1);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(ops::gradient_of(ops::state_read(b, "w")), "g");
  run(graph, {}, {.disabled = {"fuse"}});  // which would make thousands of it
  EXPECT_GT(graph.live_nodes(), 300'000);
  const ir::StateLayout states = ir::lay_out(graph.states());
  const ir::Placement placement = place(graph, {.local_grains = 1, .states = &states});
  EXPECT_GE(placement.peak_bytes, 100'000 * 64);
  EXPECT_LE(placement.peak_bytes, 100'010 * 64);
}

}  // namespace
}  // namespace ringmaster::passes
