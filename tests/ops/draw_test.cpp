// SPDX-License-Identifier: Apache-2.0
// What uniform, normal and average promise beyond the conformance suite: draws know the global sample alone, streams differ, passes
// leave them where they are; an average that is not committed stays to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

std::vector<float> draws(const OpDef& op, int64_t samples, int64_t size, const ir::RunContext& context) {
  const ir::Attrs attrs{{"shape", ir::Ints{samples, size}}, {"stream", int64_t{99}}};
  const ir::Type type{DType::f32, {samples, size}};
  std::vector<float> y(static_cast<size_t>(samples * size));
  void* out[] = {y.data()};
  op.cpu({attrs, {}, std::span(&type, 1)}, 2)->run({nullptr, out, nullptr, context});
  return y;
}

class Draw : public testing::TestWithParam<const OpDef*> {};

TEST_P(Draw, KnowsNoGrain) {
  constexpr int64_t size = 7;  // not a multiple of a block
  const std::vector<float> whole = draws(*GetParam(), 6, size, {.seed = 5, .step = 2, .first_sample = 100});
  std::vector<float> joined;
  for (int64_t grain = 0; grain < 3; ++grain) {
    const auto part = draws(*GetParam(), 2, size,
                            {.seed = 5, .step = 2, .grain = grain, .num_grains = 3, .first_sample = 100 + 2 * grain});
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(whole, joined);
}

TEST_P(Draw, ChangesWithSeedStepPhaseAndRepeat) {
  const auto base = draws(*GetParam(), 4, 100, {.seed = 5});
  EXPECT_EQ(base, draws(*GetParam(), 4, 100, {.seed = 5}));
  EXPECT_NE(base, draws(*GetParam(), 4, 100, {.seed = 6}));
  EXPECT_NE(base, draws(*GetParam(), 4, 100, {.seed = 5, .step = 1}));
  EXPECT_NE(base, draws(*GetParam(), 4, 100, {.seed = 5, .phase = 1}));
  EXPECT_NE(base, draws(*GetParam(), 4, 100, {.seed = 5, .repeat = 1}));
}

INSTANTIATE_TEST_SUITE_P(Ops, Draw, testing::Values(&uniform_op, &normal_op),
                         [](const auto& param) { return std::string(param.param->name); });

// the first two moments, each to 6 standard deviations of its estimate; neighbours do not correlate
void expect_moments(const std::vector<float>& y, double mean, double variance, double fourth) {
  const auto n = static_cast<double>(y.size());
  double first = 0, second = 0, neighbours = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double d = y[i] - mean;
    first += d / n;
    second += d * d / n;
    if (i > 0) neighbours += d * (y[i - 1] - mean) / n;
  }
  EXPECT_NEAR(first, 0.0, 6 * std::sqrt(variance / n));
  EXPECT_NEAR(second, variance, 6 * std::sqrt((fourth - variance * variance) / n));
  EXPECT_NEAR(neighbours, 0.0, 6 * variance / std::sqrt(n));
}

TEST(Uniform, HasItsMomentsAndItsRange) {
  const auto y = draws(uniform_op, 100, 1001, {.seed = 5});
  expect_moments(y, 0.5, 1.0 / 12, 1.0 / 80);
  for (const float v : y) ASSERT_TRUE(v >= 0.0F && v < 1.0F) << v;
}

TEST(Normal, HasItsMomentsAndItsTails) {
  const auto y = draws(normal_op, 100, 1001, {.seed = 5});
  expect_moments(y, 0.0, 1.0, 3.0);
  const auto n = static_cast<double>(y.size());
  const auto far = static_cast<double>(std::count_if(y.begin(), y.end(), [](float v) { return std::abs(v) > 2.0F; }));
  const double share = std::erfc(std::sqrt(2.0));
  EXPECT_NEAR(far, share * n, 6 * std::sqrt(n * share * (1 - share)));
}

TEST(Streams, DifferByCallAndScopeUnlessNamed) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::for_grain));
  const auto stream = [&](Tensor t) { return graph.producer(t.id()).attrs.integer("stream"); };
  b.set_scope("a");
  const int64_t first = stream(uniform(b, {2})), second = stream(normal(b, {2})), named = stream(normal(b, {2}, "z"));
  b.set_scope("b");
  EXPECT_NE(first, second);
  EXPECT_NE(first, stream(uniform(b, {2})));
  EXPECT_EQ(named, stream(normal(b, {2}, "z")));
  EXPECT_NE(named, stream(normal(b, {2}, "y")));
}

TEST(Average, WithoutCommitStaysToTheBit) {
  const ir::Attrs attrs{{"decay", 0.9}};
  const ir::Type types[] = {{DType::f32, {3}}, {DType::f32, {3}}, {DType::i32, {}}};
  const auto kernel = average_op.cpu({attrs, types, std::span(types, 1)}, 1);
  const float old[] = {1.0F, -0.0F, std::nanf("")}, weight[] = {INFINITY, 2.0F, 3.0F};
  for (const int32_t commit : {0, 1}) {
    std::vector<float> y(3, 7.0F);
    const void* in[] = {old, weight, &commit};
    void* out[] = {y.data()};
    kernel->run({in, out, nullptr, {}});
    EXPECT_EQ(std::memcmp(y.data(), old, sizeof(old)) == 0, commit == 0);
  }
}

TEST(Average, OfAWeightThatStaysIsThatWeight) {
  const ir::Attrs attrs{{"decay", 0.9999}};
  const ir::Type types[] = {{DType::f32, {1}}, {DType::f32, {1}}, {DType::i32, {}}};
  const auto kernel = average_op.cpu({attrs, types, std::span(types, 1)}, 1);
  float average = 0.1F;
  const float weight = 0.1F;
  const int32_t commit = 1;
  const void* in[] = {&average, &weight, &commit};
  void* out[] = {&average};
  for (int step = 0; step < 100; ++step) kernel->run({in, out, nullptr, {}});
  EXPECT_EQ(average, weight);
}

TEST(Average, RefusesADecayBeyondOne) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  const Tensor w = input(b, "w", {DType::f32, {2}}), commit = input(b, "c", {DType::i32, {}});
  EXPECT_THROW(average(w, w, commit, 1.1), Error);
  EXPECT_THROW(average(w, w, commit, std::nan("")), Error);
  EXPECT_THROW(average(w, input(b, "v", {DType::f32, {3}}), commit, 0.9), Error);
}

}  // namespace
}  // namespace ringmaster::ops
