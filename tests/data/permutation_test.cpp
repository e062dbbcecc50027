// SPDX-License-Identifier: Apache-2.0
#include "data/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace ringmaster::data {
namespace {

std::vector<uint64_t> order(uint64_t n, PermutationKey key) {
  const Permutation permutation(n, key);
  std::vector<uint64_t> order(n);
  for (uint64_t i = 0; i < n; ++i) order[i] = permutation.permute(i);
  return order;
}

// Pearson's statistic in standard deviations from its mean (Wilson and Hilferty 1931); |z| < 5 fails once in 10^6.
double chi_square_z(const std::vector<double>& counts, double expected) {
  double chi2 = 0;
  for (const double count : counts) chi2 += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1);
  return (std::cbrt(chi2 / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
}

TEST(Permutation, IsABijectionOfEverySize) {
  for (uint64_t n = 1; n <= 300; ++n) {
    std::vector<uint64_t> values = order(n, {.seed = n, .epoch = 3});
    std::sort(values.begin(), values.end());
    for (uint64_t i = 0; i < n; ++i) ASSERT_EQ(values[i], i) << "n " << n;
  }
  for (const uint64_t n : {1023U, 1024U, 1025U, 4095U, 4096U, 4097U, 5000U}) {
    std::vector<uint64_t> values = order(n, {.seed = 1, .epoch = 0});
    std::sort(values.begin(), values.end());
    for (uint64_t i = 0; i < n; ++i) ASSERT_EQ(values[i], i) << "n " << n;
  }
}

TEST(Permutation, InverseUndoesIt) {
  for (const uint64_t n : {uint64_t{1}, uint64_t{2}, uint64_t{5}, uint64_t{1000}, uint64_t{1} << 40,
                           (uint64_t{1} << 40) + 1, uint64_t{1} << 62}) {
    const Permutation permutation(n, {.seed = 7, .epoch = 9});
    for (uint64_t k = 0; k < 1000; ++k) {
      const uint64_t i = k * 0x9E3779B97F4A7C15ULL % n;
      ASSERT_LT(permutation.permute(i), n);
      ASSERT_EQ(permutation.inverse(permutation.permute(i)), i);
      ASSERT_EQ(permutation.permute(permutation.inverse(i)), i);
    }
  }
}

TEST(Permutation, DependsOnSeedAndEpoch) {
  const std::vector<uint64_t> base = order(1000, {.seed = 1, .epoch = 1});
  EXPECT_EQ(order(1000, {.seed = 1, .epoch = 1}), base);
  for (const PermutationKey key :
       {PermutationKey{1, 2}, PermutationKey{2, 1}, PermutationKey{1, 0}, PermutationKey{0, 1}}) {
    const std::vector<uint64_t> other = order(1000, key);
    int same = 0;
    for (size_t i = 0; i < base.size(); ++i) same += base[i] == other[i];
    EXPECT_LT(same, 12);  // one on average
  }
}

TEST(Permutation, EveryPositionTakesEveryValueEquallyOften) {
  for (const uint64_t n : {5U, 16U, 37U}) {
    constexpr int keys = 4000;
    std::vector<double> counts(n * n);
    for (uint64_t seed = 0; seed < keys; ++seed) {
      const std::vector<uint64_t> values = order(n, {.seed = seed, .epoch = seed % 3});
      for (uint64_t i = 0; i < n; ++i) ++counts[i * n + values[i]];
    }
    // n^2 cells with (n - 1)^2 degrees of freedom: the z is pessimistic by a little, on the low side only
    EXPECT_LT(chi_square_z(counts, keys / static_cast<double>(n)), 5) << "n " << n;
  }
}

TEST(Permutation, AllOrdersOfFourAreEquallyLikely) {
  constexpr int keys = 240000;
  std::map<std::vector<uint64_t>, double> seen;
  for (uint64_t seed = 0; seed < keys; ++seed) ++seen[order(4, {.seed = seed, .epoch = 0})];
  ASSERT_EQ(seen.size(), 24U);
  std::vector<double> counts;
  for (const auto& [values, count] : seen) counts.push_back(count);
  EXPECT_LT(std::abs(chi_square_z(counts, keys / 24.0)), 5);
}

TEST(Permutation, NeighboursLandFarApart) {
  const uint64_t n = 10000;
  const std::vector<uint64_t> values = order(n, {.seed = 3, .epoch = 0});
  std::vector<double> counts(20);  // the gap between consecutive samples, modulo n, is uniform
  for (uint64_t i = 0; i + 1 < n; ++i) ++counts[(values[i + 1] + n - values[i]) % n * 20 / n];
  EXPECT_LT(std::abs(chi_square_z(counts, static_cast<double>(n - 1) / 20)), 5);
}

}  // namespace
}  // namespace ringmaster::data
