// SPDX-License-Identifier: Apache-2.0
// grids: what the state of a phase says of the units of its gradients, over some updates. The arithmetic of kernel and reference is
// compared by the conformance suite; here stand the figures.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ir/eval.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr int64_t gradients = 3, grains = 2;

struct Phase {
  ir::Graph graph;
  ir::EvalInputs in;

  explicit Phase(double scale = 0) {
    graph.add_state({"maxima", {DType::f32, {gradients, gradient_updates}}, ir::StateRole::optimizer});
    ir::Builder b(graph);
    b.enter_region(graph.add_region(ir::RegionKind::step));
    const Tensor maxima = state_read(b, "maxima"), by = scale > 0 ? full(b, {DType::f32, {}}, scale) : Tensor();
    const std::vector<Tensor> units = grids(maxima, by);
    std::vector<Tensor> peaks;
    for (int64_t i = 0; i < gradients; ++i) {
      output(units[static_cast<size_t>(i)], "grid" + std::to_string(i));
      peaks.push_back(input(b, "peaks" + std::to_string(i), {DType::f32, {grains}}));
    }
    const NextGrids next = next_grids(maxima, scalar(b, "step"), by, peaks);
    output(next.fits, "fits");
    state_write(next.maxima, "maxima");
    in.states["maxima"] = {graph.states().front().type,
                           std::vector<double>(static_cast<size_t>(gradients * gradient_updates))};
  }

  // The update with these magnitudes in each of two grains; returns whether they fitted.
  double update(const std::vector<double>& magnitudes) {
    in.scalars["step"] = {static_cast<double>(++step)};
    for (size_t i = 0; i < magnitudes.size(); ++i)
      in.inputs["peaks" + std::to_string(i)] = {{{DType::f32, {grains}}, {magnitudes[i], magnitudes[i]}}};
    out = ir::evaluate(graph, in);
    return out.at("fits").data[0];
  }
  double grid(int i) const { return out.at("grid" + std::to_string(i)).data[0]; }
  int step = 0;
  std::map<std::string, ir::RefTensor> out;
};

TEST(Grids, LeaveFiveBitsOfHeadRoom) {
  Phase phase;
  EXPECT_EQ(phase.update({1, 0.3, 0}), 0);  // there are none yet
  EXPECT_EQ(phase.grid(0), 0);
  EXPECT_EQ(phase.update({1, 0.3, 0}), 1);
  for (const auto& [i, sum] : {std::pair{0, 2.0}, {1, 0.6}}) {
    EXPECT_GE(sum * phase.grid(i), std::ldexp(1.0, 25)) << i;
    EXPECT_LT(sum * phase.grid(i), std::ldexp(1.0, 26)) << i;
  }
  EXPECT_EQ(phase.grid(2), phase.grid(1));   // of a gradient that was 0 so far: the finest
  EXPECT_EQ(phase.update({31, 9, 0}), 1);    // 2^5 times as large, but for the greatest bit
  EXPECT_EQ(phase.update({1, 9, 2000}), 0);  // not the third's
  EXPECT_EQ(phase.update({1, 9, 2000}), 1);
}

TEST(Grids, RememberSixteenUpdates) {
  Phase phase;
  phase.update({1024, 1, 1});
  phase.update({1, 1, 1});
  const double coarse = phase.grid(0);
  for (int i = 0; i < 15; ++i) phase.update({1, 1, 1});
  EXPECT_EQ(phase.grid(0), coarse);  // as the 17th update found them
  phase.update({1, 1, 1});
  EXPECT_EQ(phase.grid(0), 1024 * coarse);
}

TEST(Grids, AreOfGradientsWithoutTheirLossScale) {
  Phase plain, scaled(4096);
  for (int i = 0; i < 2; ++i) {
    plain.update({1, 0.3, 7});
    scaled.update({4096, 0.3 * 4096, 7 * 4096});
  }
  for (int i = 0; i < gradients; ++i) EXPECT_EQ(scaled.grid(i) * 4096, plain.grid(i)) << i;
  EXPECT_EQ(scaled.in.states.at("maxima").data, plain.in.states.at("maxima").data);
}

TEST(Grids, StayWhereAGradientIsNotFinite) {
  Phase phase;
  phase.update({1, 1, 1});
  const auto before = phase.in.states.at("maxima").data;
  for (const double odd : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_EQ(phase.update({1, odd, 1e30}), -1);
    EXPECT_EQ(phase.in.states.at("maxima").data, before);
  }
}

TEST(Grids, APhaseWhoseGradientsAreAllZeroFits) { EXPECT_EQ(Phase().update({0, 0, 0}), 1); }

}  // namespace
}  // namespace ringmaster::ops
