// SPDX-License-Identifier: Apache-2.0
#include "passes/taken.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace ringmaster::passes {
namespace {

// Tries every offset at which a stretch ends.
int64_t lowest(const std::vector<Taken::Stretch>& all, int64_t from, int64_t bytes, int64_t first, int64_t last) {
  std::vector<int64_t> ends{from};
  for (const auto& s : all) ends.push_back(std::max(from, s.end));
  std::ranges::sort(ends);
  return *std::ranges::find_if(ends, [&](int64_t offset) {
    return std::ranges::none_of(all, [&](const Taken::Stretch& s) {
      return s.first <= last && s.last >= first && s.offset < offset + bytes && s.end > offset;
    });
  });
}

TEST(Taken, FindsTheLowestFreeOffset) {
  std::mt19937 random(7);
  const auto number = [&](int64_t below) { return static_cast<int64_t>(random() % static_cast<uint64_t>(below)); };
  Taken taken;
  std::vector<Taken::Stretch> all;
  for (int i = 0; i < 1500; ++i) {  // many shelves
    const int64_t bytes = 1 + number(50), first = number(200), last = first + number(20),
                  from = number(2) == 0 ? number(3000) : 0;
    const int64_t offset = taken.free_from(from, bytes, first, last);
    ASSERT_EQ(offset, lowest(all, from, bytes, first, last)) << i;
    all.push_back({offset, offset + bytes, first, last});
    taken.insert(all.back());
  }
}

}  // namespace
}  // namespace ringmaster::passes
