// SPDX-License-Identifier: Apache-2.0
// points: generated sets of points in the plane whose truth is known, so that what a generator learns can be judged.
//   eight_gaussians  8 modes on a circle of radius 2, sigma 0.02        Gulrajani et al. 2017, arXiv:1704.00028, figure 1
//   grid25           5 x 5 modes at -4, -2, 0, 2, 4, sigma 0.05
//   two_moons        two half circles of radius 1, sigma 0.1 around them
// A point is a function of (seed, set, index): nothing is stored.
#pragma once
#include "config/config.h"
#include "data/samples.h"

#include <array>
#include <span>
#include <string>
#include <vector>

namespace ringmaster::data {

using Point = std::array<float, 2>;

struct PointSet {
  const char* name;
  const char* doc;
  double sigma;                                        // of the noise around a mode
  std::vector<Point> (*modes)();                       // centres; empty if the set has none
  Point (*point)(const std::array<double, 2>& place);  // without its noise; `place`: two uniforms in (0, 1)
};
std::span<const PointSet> point_sets();
const PointSet* find_point_set(std::string_view name);

// Point `index` of the set with this seed; `stream` tells sets of one seed apart (training, held out).
Point draw_point(const PointSet& set, uint64_t seed, std::string_view stream, uint64_t index);

// Fields "x" f32[2] of data.set, "mask" f32[] (1) and, where data.other_set is given, "y" f32[2] of that.
// data.points 0: every sample is a new point. Otherwise the first `points` of each set, in a new order each epoch.
class TrainingPoints final : public TrainingSamples {
 public:
  TrainingPoints(const config::Data& config, uint64_t seed);
  int64_t per_epoch() const override { return points_; }
  int64_t tokens_per_sample() const override { return 1; }
  void fill(int64_t first, int64_t count, const BatchMemory& out) const override;

 private:
  const PointSet* set_;
  const PointSet* other_;  // null: none
  uint64_t seed_;
  int64_t points_;
};

// The first data.points points of the same sets as they are, or 1,024 held-out ones where training has no end.
class ValidationPoints final : public ValidationSamples {
 public:
  ValidationPoints(const config::Data& config, uint64_t seed);
  int64_t num_samples() const override { return points_; }
  int64_t num_targets() const override { return points_; }
  void fill(int64_t first, int64_t count, const BatchMemory& out) const override;

 private:
  const PointSet* set_;
  const PointSet* other_;
  uint64_t seed_;
  int64_t points_;
  bool held_out_;
};

}  // namespace ringmaster::data
