// SPDX-License-Identifier: Apache-2.0
// The planner of a budget against optima that cbc proves, on random block DAGs. What is made again of a block takes at most 1 % longer
// than it must, and never less. The integer programmes know nodes, sizes and times, and nothing of how the planner goes about it.
#include "passes/budget.h"
#include "tests/passes/block_dags.h"
#include "tests/passes/chain_dags.h"
#include "tests/passes/rematerialise_ilp.h"

#include <gtest/gtest.h>

#include <limits>

namespace ringmaster::passes {
namespace {

constexpr double gap = 0.01;
constexpr int64_t unlimited = int64_t{1} << 40;

// What is made of the least time by ways with `bytes(way)` within `most`.
template <typename Bytes> double least_extra(const Ways& ways, int64_t most, Bytes&& bytes) {
  double least = std::numeric_limits<double>::infinity();
  for (const Way& way : ways.ways)
    if (bytes(way.cost) <= most) least = std::min(least, way.cost.extra);
  return least;
}
int64_t need(const Saving& cost) { return std::max(cost.forward_peak, cost.backward_peak); }

// Statistics that backward reads are saved (docs/recompute.md).
bool is_statistic(const SegmentModel& block, const SegmentModel::Value& value) {
  int64_t largest = 0;
  for (const auto& v : block.values) largest = std::max(largest, v.bytes);
  return value.bytes * 64 < largest && !value.wants.empty();
}

// The least time of makers that run again, where at most `most` bytes are saved: what backward reads is saved or made; a maker that
// runs has what it reads, saved or made; from its sum alone a maker runs for less, if the sum is saved.
double least_within_saved(const SegmentModel& block, int64_t most) {
  using Terms = std::vector<Programme::Term>;
  Programme programme;
  std::vector<int> saved, whole, from_sum;
  for (const auto& maker : block.makers) {
    whole.push_back(programme.binary(maker.seconds));
    from_sum.push_back(programme.binary(maker.from_sum));
  }
  Terms bytes;
  for (const auto& v : block.values) {
    saved.push_back(programme.binary());
    if (is_statistic(block, v) && !v.passes) programme.at_least(1, {{1, saved.back()}});
    if (!v.passes) bytes.push_back({static_cast<double>(v.bytes), saved.back()});
  }
  programme.at_most(static_cast<double>(most), bytes);
  const auto had = [&](size_t v) {
    const auto& value = block.values[v];
    const auto maker = static_cast<size_t>(value.maker);
    Terms out{{1, saved[v]}, {1, whole[maker]}};
    if (value.behind_sum) out.push_back({1, from_sum[maker]});
    return out;
  };
  for (size_t i = 0; i < block.values.size(); ++i) {
    const auto& value = block.values[i];
    if (!value.wants.empty()) programme.at_least(1, had(i));
    for (const int32_t from : value.from) {
      const auto f = static_cast<size_t>(from);
      Terms terms = value.behind_sum ? Terms{{1, saved[f]}} : had(f);
      const auto maker = static_cast<size_t>(value.maker);
      terms.push_back({-1, value.behind_sum ? from_sum[maker] : whole[maker]});
      programme.at_least(0, terms);
    }
  }
  return programme.solve().value().cost;
}

TEST(Ilp, BytesThatABlockSavesCostTheLeastTime) {
  int beyond_all_sets = 0, recomputing = 0;
  for (uint32_t seed = 0; seed < 80; ++seed) {
    const SegmentModel block = RandomBlock(seed, 6 + static_cast<int>(seed % 13), true).model();
    const Ways ways = find_ways(block);
    beyond_all_sets += ways.exact ? 0 : 1;
    for (const int64_t share : {1 + seed % 3, 4 + seed % 4}) {  // eighths of what mode none saves
      const int64_t most =
          ways.ways.back().cost.saved + (ways.ways.front().cost.saved - ways.ways.back().cost.saved) * share / 8;
      const double found = least_extra(ways, most, [](const Saving& cost) { return cost.saved; });
      const double least = least_within_saved(block, most);
      ASSERT_GE(found, least - 1e-6) << "block " << seed << " within " << most;
      ASSERT_LE(found, least * (1 + gap) + 1e-6) << "block " << seed << " within " << most;
      recomputing += least > 0 ? 1 : 0;
    }
  }
  EXPECT_GT(beyond_all_sets, 24);
  EXPECT_GT(recomputing, 120);
}

Rematerialise problem_of(const SegmentModel& block) {
  Rematerialise out{.once = true};
  for (const auto& maker : block.makers) out.makers.push_back({.seconds = maker.seconds});
  for (const auto& moment : block.backward) out.backward.push_back({.before = moment.before, .during = moment.during});
  for (size_t i = 0; i < block.values.size(); ++i) {
    const auto& v = block.values[i];
    out.values.push_back({.bytes = v.bytes, .maker = v.maker, .pinned = v.passes, .saved = is_statistic(block, v)});
    out.makers[static_cast<size_t>(v.maker)].reads = v.from;
    for (const int32_t at : v.wants) out.backward[static_cast<size_t>(at)].reads.push_back(static_cast<int32_t>(i));
  }
  return out;
}

// What is alive while values are made again counts, and so does how long they stay.
TEST(Ilp, ThePeakOfABlockCostsTheLeastTime) {
  int beyond_all_sets = 0, recomputing = 0;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const SegmentModel block = RandomBlock(1000 + seed, 6 + static_cast<int>(seed % 13), false).model();
    const Ways ways = find_ways(block);
    beyond_all_sets += ways.exact ? 0 : 1;
    int64_t lowest = unlimited, highest = 0;
    for (const Way& way : ways.ways) {
      lowest = std::min(lowest, need(way.cost));
      highest = std::max(highest, need(way.cost));
    }
    for (const int64_t share : {int64_t{0}, int64_t{1 + seed % 3}}) {
      const int64_t memory = lowest + (highest - lowest) * share / 4;
      const double found = least_extra(ways, memory, need),
                   least = least_time(problem_of(block), memory, unlimited).value();
      ASSERT_GE(found, least - 1e-6) << "block " << seed << " in " << memory;
      ASSERT_LE(found, least * (1 + gap) + 1e-6) << "block " << seed << " in " << memory;
      recomputing += least > 0 ? 1 : 0;
    }
    EXPECT_FALSE(least_time(problem_of(block), lowest - 1, unlimited).has_value()) << "block " << seed;
  }
  EXPECT_GT(beyond_all_sets, 7);
  EXPECT_GT(recomputing, 28);
}

// Forward and backward of a program: sizes as they lie in the arena, times in microseconds.
Rematerialise problem_of(ir::Graph graph, const cost::Table& costs) {
  schedule(graph, {});
  const Forward forward(graph, 0);
  Rematerialise out;
  std::map<ir::NodeId, int32_t> makers;
  for (const Saveable& s : forward.values()) {
    const auto [maker, is_new] = makers.try_emplace(s.maker, static_cast<int32_t>(makers.size()));
    if (is_new) out.makers.push_back({1e6 * seconds_of(graph, graph.node(s.maker), costs), s.from});
    out.values.push_back(
        {.bytes = ir::align_up(graph.type(s.value).bytes()), .maker = maker->second, .pinned = s.fixed});
  }
  const auto& nodes = graph.regions()[0].nodes;
  const std::vector<ir::Buffer> buffers = lifetimes(graph);
  for (int64_t p = 0; p < std::ssize(nodes); ++p) {
    const ir::NodeId id = nodes[static_cast<size_t>(p)];
    if (forward.has(id) || ir::is_leaf(graph.node(id).op->traits.role)) continue;
    Rematerialise::Moment moment;
    for (size_t v = 0; v < out.values.size(); ++v)
      if (std::ranges::binary_search(forward.values()[v].wants, p)) moment.reads.push_back(static_cast<int32_t>(v));
    for (const ir::Buffer& b : buffers) {
      if (b.category != ir::Category::activations || forward.index(b.value) != Forward::nothing) continue;
      if (b.first <= p && p <= b.last) moment.during += b.bytes;
      if (b.first < p && p <= b.last) moment.before += b.bytes;
    }
    out.backward.push_back(std::move(moment));
  }
  return out;
}

// Several blocks share a budget: no plan is faster than all that a machine with so much memory can do.
TEST(Ilp, AChainOfBlocksIsNotFasterThanPossible) {
  int recomputing = 0;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    RandomChain chain(seed);
    const int blocks = 2 + static_cast<int>(seed % 3);
    const ir::Graph graph = chain.graph(blocks, 5 - blocks);
    const cost::Table costs = chain.costs(graph);
    Budget budget(graph, 0, costs);
    const Rematerialise problem = problem_of(graph, costs);
    const int64_t lowest = budget.least().bytes, none = budget.bytes_of_none();
    for (const int64_t share : {int64_t{seed % 2}, int64_t{2 + seed % 2}}) {
      const int64_t bytes = lowest + (none - lowest) * share / 4;
      const double found = 1e6 * budget.within(bytes).value().extra;
      const double least = least_time(problem, bytes, unlimited).value();
      EXPECT_GE(found, least - 1e-3) << "chain " << seed << " within " << bytes;
      recomputing += found > 0 ? 1 : 0;
    }
    EXPECT_EQ(budget.within(none).value().extra, 0);
    EXPECT_EQ(least_time(problem, none, unlimited).value(), 0) << "chain " << seed;
  }
  EXPECT_GT(recomputing, 12);
}

}  // namespace
}  // namespace ringmaster::passes
