// SPDX-License-Identifier: Apache-2.0
// Programs with what fuse joins, run by the executor, have the bits of the same programs without.
#include <gtest/gtest.h>

#include <cstring>

#include "core/philox.h"
#include "exec/executor.h"
#include "tests/passes/pass_test_util.h"

namespace ringmaster::exec {
namespace {

// Thirty random nodes over two inputs and a row: elementwise ones, dropout, values of 16 bits, softmax, norms and their gradients
// between them. Sums meet norms often enough.
std::string random_program(uint64_t seed) {
  const RandomStream draws({seed, 7});
  std::string text = "program p\nfor grain\n";
  text += "  %v0 f32[5,260] = input() name=\"a\" shape=[5,260]\n  %v1 f32[5,260] = input() name=\"b\" shape=[5,260]\n";
  text += "  %row f32[260] = input() name=\"row\" shape=[260]\n";
  text += "  %first f32[5,260], %mean f32[5], %rstd f32[5] = layer_norm(%v0, %row, %row)\n";
  constexpr const char* unary[] = {"relu(%v{})",
                                   "tanh(%v{})",
                                   "softmax(%v{})",
                                   "gelu(%v{})",
                                   "dropout(%v{}) p=0.3 stream=5",
                                   "layer_norm_grad(%v{}, %v1, %mean, %rstd, %row)"};
  constexpr const char* binary[] = {"add", "sub", "mul", "maximum", "greater"};
  for (uint64_t i = 2; i < 32; ++i) {
    const PhiloxCounter w = draws.words(0, i);
    const uint64_t a = i - 1 - w[0] % std::min<uint64_t>(i, 6), b = i - 1 - w[1] % std::min<uint64_t>(i, 6);
    if (w[2] % 16 == 0) {
      text += fmt::format("  %v{0} f32[5,260], %m{0} f32[5], %r{0} f32[5] = layer_norm(%v{1}, %row, %row)\n", i, a);
    } else if (w[2] % 4 == 0) {
      text += fmt::format("  %v{} f32[5,260] = {}\n", i, fmt::format(fmt::runtime(unary[w[3] % 6]), a));
    } else if (w[2] % 4 == 1) {
      text += fmt::format("  %h{0} {1}[5,260] = cast(%v{2}) dtype=\"{1}\"\n", i, w[3] % 2 == 0 ? "bf16" : "f16", a);
      text += fmt::format("  %v{0} f32[5,260] = cast(%h{0}) dtype=\"f32\"\n", i);
    } else {
      const std::string right = w[3] % 7 == 0 ? "row" : fmt::format("v{}", b);
      text += fmt::format("  %v{} f32[5,260] = {}(%v{}, %{})\n", i, binary[w[3] % 5], a, right);
    }
  }
  for (int i = 28; i < 32; ++i) text += fmt::format("  %g{0} f32[5,260] = grain_sum(%v{0})\n", i);
  text += "step\n";
  for (int i = 28; i < 32; ++i) text += fmt::format("  output(%g{0}) name=\"g{0}\"\n", i);
  return text;
}

struct Outcome {
  int64_t nodes = 0;
  std::vector<std::vector<float>> outputs;
};

Outcome outcome_of(const std::string& program, const std::vector<std::string>& disabled) {
  Outcome outcome;
  comm::run_ranks(1, [&](comm::Communicator& comm) {
    ir::Graph graph = passes::graph_of(program);
    passes::run(graph, {}, {.disabled = disabled});
    outcome.nodes = graph.live_nodes();
    Fabric fabric(comm);
    const Deal all = deal(1, 0, 1);
    const ir::StateLayout states = ir::lay_out(graph.states());
    Prepared prepared = prepare(graph, {.threads = 2});
    ir::Placement placement =
        passes::place(graph, {.local_grains = 1, .scratch_bytes = prepared.scratch_bytes, .states = &states});
    Arena arena(placement.peak_bytes);
    arena.paint();
    Executor executor(std::move(graph), std::move(prepared), std::move(placement), states, arena, fabric,
                      {.num_grains = 1, .deal = all});
    uint64_t what = 0;
    for (const char* name : {"a", "b", "row"}) {
      if (!executor.has_input(name)) continue;
      auto* x = static_cast<float*>(executor.input(name, 0));
      const uint64_t count = std::strcmp(name, "row") == 0 ? 260 : 1300;
      for (uint64_t i = 0; i < count; ++i)
        x[i] = 4.0F * uniform(RandomStream({.seed = 5, .stream = what}).words(0, i)[0]) - 2.0F;
      ++what;
    }
    executor.run({.seed = 1}, 5);
    for (int i = 28; i < 32; ++i) {
      const auto y = executor.output(fmt::format("g{}", i));
      outcome.outputs.emplace_back(y.begin(), y.end());
    }
  });
  return outcome;
}

TEST(Chains, HaveTheBitsOfTheirOps) {
  int64_t spared = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    const std::string program = random_program(seed);
    const Outcome with = outcome_of(program, {}), without = outcome_of(program, {"fuse"});
    spared += without.nodes - with.nodes;
    for (size_t i = 0; i < with.outputs.size(); ++i) {
      ASSERT_EQ(with.outputs[i].size(), without.outputs[i].size());
      EXPECT_EQ(std::memcmp(with.outputs[i].data(), without.outputs[i].data(), 4 * with.outputs[i].size()), 0)
          << "output " << i;
    }
  }
  EXPECT_GT(spared, 200);
}

}  // namespace
}  // namespace ringmaster::exec
