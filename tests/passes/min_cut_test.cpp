// SPDX-License-Identifier: Apache-2.0
// min_cut against all subsets of small random graphs.
#include "passes/min_cut.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace ringmaster::passes {
namespace {

// Can all that is wanted be had from what is saved?
bool suffices(std::span<const CutValue> values, uint32_t saved) {
  std::vector<bool> there(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const CutValue& v = values[i];
    bool makeable = !v.must_hold;
    for (const int32_t from : v.from) makeable = makeable && there[static_cast<size_t>(from)];
    there[i] = v.held || (saved >> i & 1U) != 0 || makeable;
    if (v.wanted && !there[i]) return false;
  }
  return true;
}

int64_t bytes_of(std::span<const CutValue> values, uint32_t saved) {
  int64_t bytes = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if ((saved >> i & 1U) != 0 && !values[i].held) bytes += values[i].bytes;
  return bytes;
}

TEST(MinCut, IsTheCheapestOfAllSubsets) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<CutValue> values(1 + random() % 9);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = {.bytes = static_cast<int64_t>(1 + random() % 9),
                   .held = random() % 6 == 0,
                   .must_hold = random() % 3 == 0,
                   .wanted = random() % 2 == 0};
      for (size_t k = 0; k < i; ++k)
        if (random() % 3 == 0) values[i].from.push_back(static_cast<int32_t>(k));
    }
    int64_t least = std::numeric_limits<int64_t>::max();
    for (uint32_t saved = 0; saved < (1U << values.size()); ++saved)
      if (suffices(values, saved)) least = std::min(least, bytes_of(values, saved));
    const std::vector<bool> found = fewest_to_save(values);
    uint32_t saved = 0;
    for (size_t i = 0; i < found.size(); ++i) saved |= found[i] ? 1U << i : 0U;
    EXPECT_TRUE(suffices(values, saved)) << "trial " << trial;
    EXPECT_EQ(bytes_of(values, saved), least) << "trial " << trial;
  }
}

}  // namespace
}  // namespace ringmaster::passes
