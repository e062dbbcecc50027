// SPDX-License-Identifier: Apache-2.0
#include "data/points.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ringmaster::data {
namespace {

struct Batch {
  explicit Batch(int64_t count)
      : x(static_cast<size_t>(count)), y(static_cast<size_t>(count)), mask(static_cast<size_t>(count), -1.0F) {}
  BatchMemory memory() {
    return BatchMemory([this](std::string_view name) -> void* {
      if (name == "x") return x.data();
      if (name == "y") return y.data();
      return name == "mask" ? mask.data() : nullptr;
    });
  }
  std::vector<Point> x, y;
  std::vector<float> mask;
};

config::Data data(const char* set, int64_t points = 0, const char* other = "none") {
  config::Data d;
  d.source = "generated";
  d.set = set;
  d.other_set = other;
  d.points = points;
  return d;
}

TEST(Points, ModesAreEquallyLikelyAndHaveTheirWidth) {
  for (const char* name : {"eight_gaussians", "grid25"}) {
    const PointSet& set = *find_point_set(name);
    const std::vector<Point> modes = set.modes();
    constexpr int n = 20000;
    std::vector<int> hits(modes.size());
    double squares = 0;
    for (int i = 0; i < n; ++i) {
      const Point p = draw_point(set, 5, "test", static_cast<uint64_t>(i));
      size_t nearest = 0;
      double best = 1e9;
      for (size_t m = 0; m < modes.size(); ++m) {
        const double d = std::hypot(p[0] - modes[m][0], p[1] - modes[m][1]);
        if (d < best) nearest = m, best = d;
      }
      ++hits[nearest];
      squares += best * best;
    }
    const double expected = static_cast<double>(n) / static_cast<double>(modes.size());
    for (const int h : hits) EXPECT_NEAR(h, expected, 5 * std::sqrt(expected)) << name;
    EXPECT_NEAR(squares / n, 2 * set.sigma * set.sigma, 0.1 * set.sigma * set.sigma) << name;
  }
}

TEST(Points, SetsLieWhereTheirDocsSay) {
  const auto apart = [](const Point& a, const Point& b) { return std::hypot(a[0] - b[0], a[1] - b[1]); };
  const std::vector<Point> ring = find_point_set("eight_gaussians")->modes(), grid = find_point_set("grid25")->modes();
  ASSERT_EQ(ring.size(), 8U);
  for (size_t i = 0; i < ring.size(); ++i) {
    EXPECT_NEAR(apart(ring[i], {0, 0}), 2.0, 1e-6);
    EXPECT_NEAR(apart(ring[i], ring[(i + 1) % 8]), 4 * std::sin(std::acos(-1.0) / 8), 1e-6);
  }
  EXPECT_EQ(std::set<Point>(grid.begin(), grid.end()).size(), 25U);
  for (const Point& mode : grid)
    for (const float at : mode) EXPECT_TRUE(at == -4 || at == -2 || at == 0 || at == 2 || at == 4) << at;
  EXPECT_EQ(find_point_set("eight_gaussians")->sigma, 0.02);
  EXPECT_EQ(find_point_set("grid25")->sigma, 0.05);
}

TEST(Points, NoiseIsAsWideInEveryDirection) {
  const PointSet& set = *find_point_set("grid25");
  constexpr int n = 20000;
  double xx = 0, yy = 0, xy = 0;
  for (int i = 0; i < n; ++i) {
    const Point p = draw_point(set, 5, "test", static_cast<uint64_t>(i));
    const double x = (p[0] - 2 * std::round(p[0] / 2)) / set.sigma, y = (p[1] - 2 * std::round(p[1] / 2)) / set.sigma;
    xx += x * x / n;
    yy += y * y / n;
    xy += x * y / n;
  }
  EXPECT_NEAR(xx, 1.0, 6 * std::sqrt(2.0 / n));
  EXPECT_NEAR(yy, 1.0, 6 * std::sqrt(2.0 / n));
  EXPECT_NEAR(xy, 0.0, 6 / std::sqrt(n));
}

TEST(Points, MoonsAreTwoHalfCircles) {
  const PointSet& set = *find_point_set("two_moons");
  int upper = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    const Point p = draw_point(set, 1, "test", i);
    const double first = std::abs(std::hypot(p[0], p[1]) - 1.0),
                 second = std::abs(std::hypot(p[0] - 1, p[1] - 0.5) - 1.0);
    EXPECT_LT(std::min(first, second), 6 * set.sigma);
    upper += first < second ? 1 : 0;
  }
  EXPECT_NEAR(upper, 1000, 200);
}

TEST(Points, ASampleIsAFunctionOfItsNumber) {
  const TrainingPoints points(data("grid25", 0, "two_moons"), 3);
  Batch whole(10), part(4);
  points.fill(100, 10, whole.memory());
  points.fill(103, 4, part.memory());
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(part.x[i], whole.x[i + 3]);
    EXPECT_EQ(part.y[i], whole.y[i + 3]);
    EXPECT_EQ(part.mask[i], 1.0F);
  }
  EXPECT_EQ(points.per_epoch(), 0);
}

TEST(Points, AFixedSetComesOnceAnEpochInTwoOrders) {
  constexpr int64_t n = 50;
  const TrainingPoints points(data("eight_gaussians", n, "eight_gaussians"), 3);
  const auto as_set = [](const std::vector<Point>& p) { return std::set<Point>(p.begin(), p.end()); };
  Batch first(n), second(n);
  points.fill(0, n, first.memory());
  points.fill(n, n, second.memory());
  EXPECT_EQ(as_set(first.x).size(), static_cast<size_t>(n));
  EXPECT_EQ(as_set(first.x), as_set(second.x));
  EXPECT_NE(first.x, second.x);
  EXPECT_NE(as_set(first.x), as_set(first.y));
  const ValidationPoints held(data("eight_gaussians", n, "eight_gaussians"), 3);
  Batch all(n);
  held.fill(0, n, all.memory());
  EXPECT_EQ(as_set(all.x), as_set(first.x));
  // partners change: x and y are not visited in one order
  int same = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) same += first.x[i] == second.x[j] && first.y[i] == second.y[j] ? 1 : 0;
  EXPECT_LT(same, n / 4);
}

TEST(Points, HeldOutPointsAreOthersAndPaddingIsMasked) {
  const ValidationPoints held(data("eight_gaussians"), 3);
  const TrainingPoints training(data("eight_gaussians"), 3);
  EXPECT_EQ(held.num_samples(), 1024);
  Batch a(8), b(8);
  held.fill(1020, 8, a.memory());
  training.fill(1020, 8, b.memory());
  EXPECT_NE(a.x[0], b.x[0]);
  EXPECT_EQ(a.mask, (std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_EQ(a.x[5], Point{});
}

}  // namespace
}  // namespace ringmaster::data
