// SPDX-License-Identifier: Apache-2.0
// saving: the ways to save what one segment of forward makes, each with its memory and time: which values stay until backward, the
// others being made again there when they are first read. Numbers alone; chain_model.h takes them from the graph.
#pragma once
#include <compare>
#include <cstdint>
#include <vector>

#include "passes/chain_plan.h"

namespace ringmaster::passes {

struct SegmentModel {
  struct Value {
    int64_t bytes = 0;
    int32_t maker = 0;
    std::vector<int32_t> from;   // values of the segment that it is made from; what comes from before is at hand
    bool behind_sum = false;     // made by the short way of its maker, where its sum is at hand
    bool fixed = false;          // never made again: it stays
    bool passes = false;         // goes on to the next segment: it stays, and counts there
    bool kept = false;           // read out of turn (chain_model.h): it is saved
    std::vector<int32_t> wants;  // the moments of backward that read it, ascending
    auto operator<=>(const Value&) const = default;
  };
  struct Maker {
    double seconds = 0;
    double from_sum = 0;  // where its sum is at hand
    auto operator<=>(const Maker&) const = default;
  };
  // A node of backward: bytes of backward's own values when it begins, and while it runs.
  struct Moment {
    int64_t before = 0, during = 0;
    auto operator<=>(const Moment&) const = default;
  };
  std::vector<Value> values;  // in the order of forward; of a maker all stand together, its sum first
  std::vector<Maker> makers;  // in the order of forward
  std::vector<Moment> backward;
  auto operator<=>(const SegmentModel&) const = default;
};

// Not worth making again, beside the largest value of its segment: the statistics of rows.
inline bool is_small(int64_t bytes, int64_t largest) { return bytes * 64 < largest; }

// One way, in bytes and seconds, and the values that it saves, by index.
struct Way {
  Saving cost;
  std::vector<bool> saved;
};

// What becomes of a set of saved values: forward has run and saved them, or (alone) only what passes the segment's beginning is at
// hand and nothing behind the segment waits for it.
Saving simulate(const SegmentModel& model, const std::vector<bool>& saved, bool alone);

// The most memory of a forward that saves this.
int64_t forward_peak(const SegmentModel& model, const std::vector<bool>& saved);

// The ways of which none is worse than another one in everything. Up to `exact` values that are worth a thought every set is tried;
// beyond that, the sets that are cheapest for some price of a byte (a minimum cut for each) and what a search from those leads to.
struct Ways {
  std::vector<Way> ways, alone;
  bool exact = true;
};
Ways find_ways(const SegmentModel& model, int exact = 13);

}  // namespace ringmaster::passes
