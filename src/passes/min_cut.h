// SPDX-License-Identifier: Apache-2.0
// min_cut: the cheapest set of values to save, so that all that is wanted can be had from it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ringmaster::passes {

// A value of a directed acyclic graph.
struct CutValue {
  int64_t bytes = 0;
  std::vector<int32_t> from;  // what it is made from, by index
  bool held = false;          // in memory anyway: costs nothing
  bool must_hold = false;     // may not be made again
  bool wanted = false;
  int32_t maker = 0;  // what makes it again: by index in the costs of makers
};

// By value: is it saved? Every wanted value is held, saved, or made from such values. Of all such sets it has the least price x bytes +
// costs of the makers that run (a maker of several values runs once), and of equal ones the one that makes least again. A minimum cut
// (Ford and Fulkerson 1956), found by Boykov and Kolmogorov's algorithm (2004). Costs are held to 2^-40 of their sum.
std::vector<bool> cheapest_to_save(std::span<const CutValue> values, std::span<const double> makers, double price);
// The fewest bytes, whatever it takes to make the rest.
std::vector<bool> fewest_to_save(std::span<const CutValue> values);

}  // namespace ringmaster::passes
