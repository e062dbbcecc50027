// SPDX-License-Identifier: Apache-2.0
#include "data/points.h"

#include "core/error.h"
#include "core/philox.h"
#include "data/permutation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringmaster::data {
namespace {

constexpr double pi = std::numbers::pi;
constexpr std::string_view training_stream = "data.points", held_out_stream = "data.points.held_out";
constexpr int64_t held_out_points = 1024;

Point moved(Point p, double sigma, const std::array<double, 2>& noise) {
  return {static_cast<float>(static_cast<double>(p[0]) + sigma * noise[0]),
          static_cast<float>(static_cast<double>(p[1]) + sigma * noise[1])};
}

std::vector<Point> ring_modes() {
  std::vector<Point> modes;
  for (int i = 0; i < 8; ++i)
    modes.push_back({static_cast<float>(2.0 * std::cos(pi * i / 4)), static_cast<float>(2.0 * std::sin(pi * i / 4))});
  return modes;
}

std::vector<Point> grid_modes() {
  std::vector<Point> modes;
  for (int i = -2; i <= 2; ++i)
    for (int j = -2; j <= 2; ++j) modes.push_back({2.0F * static_cast<float>(i), 2.0F * static_cast<float>(j)});
  return modes;
}

// All modes are equally likely.
template <auto modes> Point near_a_mode(const std::array<double, 2>& place) {
  static const std::vector<Point> centres = modes();
  const auto n = static_cast<double>(centres.size());
  return centres[static_cast<size_t>(std::min(place[0] * n, n - 1))];
}

Point on_a_moon(const std::array<double, 2>& place) {
  const double angle = pi * place[1];
  if (place[0] < 0.5) return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  return {static_cast<float>(1.0 - std::cos(angle)), static_cast<float>(0.5 - std::sin(angle))};
}

const PointSet sets[] = {
    {"eight_gaussians", "8 modes on a circle of radius 2, sigma 0.02", 0.02, ring_modes, near_a_mode<ring_modes>},
    {"grid25", "5 x 5 modes, 2 apart, sigma 0.05", 0.05, grid_modes, near_a_mode<grid_modes>},
    {"two_moons", "two half circles of radius 1, sigma 0.1", 0.1, [] { return std::vector<Point>(); }, on_a_moon},
};

const PointSet* set_or_null(const std::string& name) { return name == "none" ? nullptr : find_point_set(name); }

// A set with a seed of its own, so that two sets of one kind are two draws and are visited in two orders.
struct Draws {
  const PointSet* set;  // null: none
  uint64_t seed;
};

// Writes the points `index_of(row, seed)` of both sets; rows where it is negative are padding.
template <typename IndexOf>
void fill_rows(std::array<Draws, 2> draws, std::string_view stream, int64_t count, const BatchMemory& out,
               const IndexOf& index_of) {
  float* const rows[] = {out.tensor<float>("x"), out.tensor<float>("y")};
  for (size_t i = 0; i < draws.size(); ++i) {
    const auto [set, seed] = draws[i];
    if (rows[i] == nullptr || set == nullptr) continue;
    for (int64_t b = 0; b < count; ++b) {
      const int64_t index = index_of(b, seed);
      const Point p = index < 0 ? Point{} : draw_point(*set, seed, stream, static_cast<uint64_t>(index));
      std::copy(p.begin(), p.end(), rows[i] + 2 * b);
    }
  }
  if (auto* const mask_B = out.tensor<float>("mask"); mask_B != nullptr)
    for (int64_t b = 0; b < count; ++b) mask_B[b] = index_of(b, draws[0].seed) < 0 ? 0.0F : 1.0F;
}

}  // namespace

std::span<const PointSet> point_sets() { return sets; }

const PointSet* find_point_set(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(sets), std::end(sets), [&](const PointSet& s) { return s.name == name; });
  return found == std::end(sets) ? nullptr : found;
}

// Box and Muller 1958; (0, 1] keeps the logarithm finite.
Point draw_point(const PointSet& set, uint64_t seed, std::string_view stream, uint64_t index) {
  const RandomStream random({.seed = seed, .stream = mix(stable_hash(stream), stable_hash(set.name))});
  const PhiloxCounter where = random.words(index, 0), words = random.words(index, 1);
  const auto unit = [](uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; };
  const double radius = std::sqrt(-2.0 * std::log(unit(words[0])));
  const std::array<double, 2> noise{radius * std::cos(2.0 * pi * unit(words[1])),
                                    radius * std::sin(2.0 * pi * unit(words[1]))};
  return moved(set.point({unit(where[0]), unit(where[1])}), set.sigma, noise);
}

TrainingPoints::TrainingPoints(const config::Data& config, uint64_t seed)
    : set_(set_or_null(config.set)), other_(set_or_null(config.other_set)), seed_(seed), points_(config.points) {
  CHECK(set_ != nullptr, "no set {}", config.set);
}

void TrainingPoints::fill(int64_t first, int64_t count, const BatchMemory& out) const {
  const auto index_of = [&](int64_t b, uint64_t seed) {
    const int64_t sample = first + b;
    if (points_ == 0) return sample;
    const Permutation order(static_cast<uint64_t>(points_),
                            {.seed = seed, .epoch = static_cast<uint64_t>(sample / points_)});
    return static_cast<int64_t>(order.permute(static_cast<uint64_t>(sample % points_)));
  };
  fill_rows({{{set_, seed_}, {other_, mix(seed_, 1)}}}, training_stream, count, out, index_of);
}

ValidationPoints::ValidationPoints(const config::Data& config, uint64_t seed)
    : set_(set_or_null(config.set)),
      other_(set_or_null(config.other_set)),
      seed_(seed),
      points_(config.points > 0 ? config.points : held_out_points),
      held_out_(config.points == 0) {
  CHECK(set_ != nullptr, "no set {}", config.set);
}

void ValidationPoints::fill(int64_t first, int64_t count, const BatchMemory& out) const {
  const auto index_of = [&](int64_t b, uint64_t) { return first + b < points_ ? first + b : int64_t{-1}; };
  fill_rows({{{set_, seed_}, {other_, mix(seed_, 1)}}}, held_out_ ? held_out_stream : training_stream, count, out,
            index_of);
}

}  // namespace ringmaster::data
