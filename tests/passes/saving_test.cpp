// SPDX-License-Identifier: Apache-2.0
// saving: the memory and time of what backward of a segment makes again.
#include "passes/saving.h"

#include <gtest/gtest.h>

namespace ringmaster::passes {
namespace {

// a -> b -> c; c passes on. Backward reads b at 0, a at 1 and 2.
SegmentModel three() {
  return {.values = {{.bytes = 10, .maker = 0, .wants = {1, 2}},
                     {.bytes = 20, .maker = 1, .from = {0}, .wants = {0}},
                     {.bytes = 5, .maker = 2, .from = {1}, .passes = true}},
          .makers = {{1, 1}, {2, 2}, {4, 4}},
          .backward = {{3, 7}, {7, 9}, {9, 1}}};
}

TEST(Saving, OfAllTakesNoTime) {
  const Saving all = simulate(three(), {true, true, false}, false);
  EXPECT_EQ(all.extra, 0);
  EXPECT_EQ(all.saved, 30);
  EXPECT_EQ(all.forward_peak, 35);
  EXPECT_EQ(all.backward_peak, 30 + 7);  // both there at the first moment
}

TEST(Saving, OfNothingMakesWhatIsReadAndNoMore) {
  const Saving none = simulate(three(), {false, false, false}, false);
  EXPECT_EQ(none.extra, 3);  // not the maker of c
  EXPECT_EQ(none.saved, 0);
  EXPECT_EQ(none.forward_peak, 30);
  EXPECT_EQ(none.backward_peak, 30 + 7);
  EXPECT_EQ(simulate(three(), {false, false, false}, true).extra, 3);
}

// a stays until the moment 2, beside backward's own 9 of the moment 1.
TEST(Saving, WhatIsMadeAgainStaysUntilItsLastReader) {
  SegmentModel model = three();
  model.values[1].bytes = 1;
  model.backward[1].during = 90;
  const Saving none = simulate(model, {false, false, false}, false);
  EXPECT_EQ(none.backward_peak, 10 + 90);
  model.backward[2].during = 100;
  EXPECT_EQ(simulate(model, {false, false, false}, false).backward_peak, 10 + 100);
}

TEST(Saving, AnUnreadValueIsNotSaved) {
  SegmentModel model = three();
  model.values[1].wants.clear();
  EXPECT_EQ(simulate(model, {true, true, false}, false).saved, 10);
}

TEST(Saving, ANormStartsFromItsSum) {
  // s, y of one maker; backward reads y, and s later
  const SegmentModel model{.values = {{.bytes = 8, .maker = 0, .wants = {1}},
                                      {.bytes = 4, .maker = 0, .from = {0}, .behind_sum = true, .wants = {0}}},
                           .makers = {{10, 3}},
                           .backward = {{0, 0}, {0, 0}}};
  EXPECT_EQ(simulate(model, {true, false}, false).extra, 3);
  EXPECT_EQ(simulate(model, {false, false}, false).extra, 10);
  EXPECT_EQ(simulate(model, {true, true}, false).extra, 0);
}

TEST(Saving, WaysAreThoseThatNoneBeats) {
  const Ways ways = find_ways(three());
  EXPECT_TRUE(ways.exact);
  EXPECT_EQ(ways.ways.front().cost.extra, 0);
  for (const Way& a : ways.ways)
    for (const Way& b : ways.ways)
      EXPECT_FALSE(&a != &b && a.cost.saved <= b.cost.saved && a.cost.extra <= b.cost.extra &&
                   a.cost.forward_peak <= b.cost.forward_peak && a.cost.backward_peak <= b.cost.backward_peak);
}

// Of a long segment a search finds the sets: here the same ways as among all of them.
TEST(Saving, TheSearchFindsTheWaysOfAllSets) {
  SegmentModel model;
  for (int32_t i = 0; i < 12; ++i) {
    model.values.push_back({.bytes = 10 + i * 7 % 11, .maker = i, .wants = {11 - i}});
    if (i > 0) model.values.back().from = {i - 1};
    model.makers.push_back({static_cast<double>(1 + i * 5 % 7), 0});
    model.backward.push_back({0, 0});
  }
  const Ways all = find_ways(model), found = find_ways(model, 0);
  EXPECT_TRUE(all.exact);
  EXPECT_FALSE(found.exact);
  ASSERT_EQ(found.ways.size(), all.ways.size());
  for (size_t i = 0; i < all.ways.size(); ++i) {
    EXPECT_EQ(found.ways[i].cost.saved, all.ways[i].cost.saved) << i;
    EXPECT_DOUBLE_EQ(found.ways[i].cost.extra, all.ways[i].cost.extra) << i;
  }
}

// Each value is made from two: as many paths as leaves of a tree lead to the first, and each value is looked at once.
TEST(Saving, OfAValueThatManyPathsLeadToIsFoundAtOnce) {
  SegmentModel model;
  for (int32_t i = 0; i < 90; ++i) {
    model.values.push_back({.bytes = 10, .maker = i});
    for (int32_t from = std::max(i - 2, 0); from < i; ++from) model.values.back().from.push_back(from);
    model.makers.push_back({1, 1});
  }
  model.values.back().wants = {0};
  model.backward = {{0, 0}};
  EXPECT_EQ(simulate(model, std::vector<bool>(90), false).extra, 90);
}

}  // namespace
}  // namespace ringmaster::passes
