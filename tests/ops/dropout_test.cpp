// SPDX-License-Identifier: Apache-2.0
// What dropout promises beyond the conformance suite: its mask depends on the global sample alone, and p is its share of zeros.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

const ir::Attrs attrs{{"p", 0.3}, {"stream", int64_t{99}}};

std::vector<float> drop(int64_t samples, int64_t size, ir::RunContext context) {
  const ir::Type type{DType::f32, {samples, size}};
  const auto kernel = dropout_op.cpu({attrs, std::span(&type, 1), std::span(&type, 1)}, 2);
  const std::vector<float> x(static_cast<size_t>(samples * size), 1.0F);
  std::vector<float> y(x.size());
  const void* in[] = {x.data()};
  void* out[] = {y.data()};
  kernel->run({in, out, nullptr, context});
  return y;
}

TEST(Dropout, MaskKnowsNoGrain) {
  constexpr int64_t size = 7;  // not a multiple of the four words of a block
  const std::vector<float> whole = drop(6, size, {.seed = 5, .step = 2, .first_sample = 100});
  std::vector<float> joined;
  for (int64_t grain = 0; grain < 3; ++grain) {
    const auto part =
        drop(2, size, {.seed = 5, .step = 2, .grain = grain, .num_grains = 3, .first_sample = 100 + 2 * grain});
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(whole, joined);
}

TEST(Dropout, MaskChangesWithSeedStepPhaseAndRepeat) {
  const std::vector<float> base = drop(4, 100, {.seed = 5});
  EXPECT_EQ(base, drop(4, 100, {.seed = 5}));
  EXPECT_NE(base, drop(4, 100, {.seed = 6}));
  EXPECT_NE(base, drop(4, 100, {.seed = 5, .step = 1}));
  EXPECT_NE(base, drop(4, 100, {.seed = 5, .phase = 1}));
  EXPECT_NE(base, drop(4, 100, {.seed = 5, .repeat = 1}));
}

// 6 standard deviations of a binomial
TEST(Dropout, DropsItsShare) {
  const std::vector<float> y = drop(100, 1000, {.seed = 5});
  const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0F)), n = static_cast<double>(y.size());
  EXPECT_NEAR(zeros, 0.3 * n, 6 * std::sqrt(n * 0.3 * 0.7));
  for (const float v : y) ASSERT_TRUE(v == 0.0F || v == static_cast<float>(1 / 0.7)) << v;
}

TEST(Dropout, RefusesAProbabilityOfOne) {
  ir::Graph graph;
  ir::Builder builder(graph);
  builder.enter_region(graph.add_region(ir::RegionKind::step));
  const Tensor x = input(builder, "x", {DType::f32, {2}});
  EXPECT_THROW(dropout(x, 1.0), Error);
  EXPECT_THROW(dropout(x, -0.1), Error);
  EXPECT_THROW(dropout(x, std::nan("")), Error);
}

}  // namespace
}  // namespace ringmaster::ops
