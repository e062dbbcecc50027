// SPDX-License-Identifier: Apache-2.0
// chain_plan: the fastest way through a chain of segments, forward and backward, in bounded memory. Beaumont, Eyraud-Dubois,
// Herrmann, Joly and Shilova 2019 (arXiv:1911.13214, "Rotor"), with several ways to save a segment as in Zhao et al. 2023
// (arXiv:2307.01236, "Rockmate"). Three kinds of forward: one that keeps what passes its end, one that keeps nothing, and one that saves
// what its backward wants, in one of the ways given. Exact for its model: among all schedules that keep what they saved until backward
// has read it, none takes less time (the programme runs over every segment range and every amount of memory).
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace ringmaster::passes {

// All memory is in units of the caller's; time in any unit.

// One way to keep values of a segment between its forward and its backward.
struct Saving {
  int64_t saved = 0;           // what stays in memory meanwhile, without what passes the segment's end
  int64_t forward_peak = 0;    // most memory while it runs forward, and
  int64_t backward_peak = 0;   // while it runs backward, what it saved included; both without what passes its beginning
  double extra = 0;            // time beyond one forward and one backward
  int64_t backward_floor = 0;  // a backward_peak that no placement undercuts, for bounds
  auto operator<=>(const Saving&) const = default;
};

struct Link {
  double forward = 0;        // time
  int64_t passing = 0;       // memory of what passes its end
  int64_t forward_peak = 0;  // most memory while it runs forward and saves nothing, without what passes its beginning
  std::vector<Saving> ways;
  // The ways where nothing behind it runs forward after it: what its backward does not want need not be made. `extra` holds the
  // forward as well.
  std::vector<Saving> alone;
  auto operator<=>(const Link&) const = default;
};

struct ChainPlan {
  struct Step {
    int32_t way = 0;  // into ways, or alone
    bool alone = false;
    int32_t made = 0;     // how often the segment had run forward before the run that saves
    int32_t passing = 0;  // and before the one that keeps what passes its end
  };
  double extra = 0;  // beyond one forward and one backward of all
  std::vector<Step> steps;
};

class ChainPlanner {
 public:
  // For n links: time O(n^2 memory (n + ways)), space O(n^2 memory); of n equal ones a factor n less of both.
  ChainPlanner(std::vector<Link> links, int64_t memory);

  // The least extra time within `memory`, which is at most that of the constructor; nullopt: nothing fits.
  std::optional<double> extra(int64_t memory) const;
  std::optional<ChainPlan> plan(int64_t memory) const;

 private:
  // How the links first .. last go best, by memory.
  struct Row {
    std::vector<double> time;  // infinite: they do not fit
    // A way of the first link; behind those, one of its `alone`; behind those, first + the link kept.
    std::vector<int32_t> choice;
  };

  Row solve(size_t first, size_t last, bool again) const;
  const Row& row(size_t first, size_t last, bool again) const {
    return again ? rows_[again_[first * links_.size() + last]] : once_[first];
  }
  void follow(size_t first, size_t last, int64_t memory, bool again, std::vector<int32_t>& made, ChainPlan& plan) const;

  std::vector<Link> links_;
  size_t units_;                 // amounts of memory, 0 among them
  std::vector<Row> rows_;        // of links that have run forward before; runs of equal links share one
  std::vector<uint32_t> again_;  // by (first, last): its row
  std::vector<Row> once_;        // by first: of the first pass, from there to the end
};

}  // namespace ringmaster::passes
