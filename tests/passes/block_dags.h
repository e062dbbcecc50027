// SPDX-License-Identifier: Apache-2.0
// block_dags: random blocks, each value made from some of those before it: products and cheap nodes, narrow and wide, skips over several
// nodes. Backward goes through the makers in reverse and reads some of what each read and made.
#pragma once
#include "passes/saving.h"

#include <algorithm>
#include <random>
#include <set>

namespace ringmaster::passes {

// One block, in numbers. With norms some makers add before they make a value and the statistics of its rows.
class RandomBlock {
 public:
  RandomBlock(uint32_t seed, int makers, bool norms) : random_(seed) {
    for (int m = 0; m < makers; ++m) add_maker(m, norms && m + 1 < makers && below(5) == 0);
    block_.values.back().passes = true;
    add_backward(makers);
  }
  const SegmentModel& model() const { return block_; }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  int64_t size() { return below(2) == 0 ? int64_t{16} << below(3) : 8 + below(57); }

  void add_maker(int maker, bool norm) {
    const int before = static_cast<int>(block_.values.size());
    std::set<int32_t> from;
    if (before > 0 && below(10) < 7) from.insert(before - 1);
    for (int k = 0; k < 2; ++k)
      if (before > 1 && below(10) < 4) from.insert(before - 1 - below(std::min(before, 6)));
    const double seconds = below(10) < 4 ? 20 + below(81) : 1 + below(8);
    block_.makers.push_back({seconds, norm ? seconds / 2 : seconds});
    block_.values.push_back({.bytes = size(), .maker = maker, .from = {from.begin(), from.end()}});
    if (!norm) return;
    block_.values.push_back(
        {.bytes = block_.values.back().bytes, .maker = maker, .from = {before}, .behind_sum = true});
    block_.values.push_back({.bytes = 1, .maker = maker, .from = {before}, .behind_sum = true});
    block_.values[static_cast<size_t>(before) + 1].bytes = 128;  // beside it a statistic is small
  }

  // A value's gradient is in memory from the backward of its last reader to that of its maker.
  void add_backward(int makers) {
    std::vector<int32_t> begins(block_.values.size(), makers);
    begins.back() = -1;
    block_.backward.resize(static_cast<size_t>(makers));
    for (int32_t p = 0; p < makers; ++p) {
      std::set<int32_t> read;
      for (size_t v = 0; v < block_.values.size(); ++v) {
        const SegmentModel::Value& value = block_.values[v];
        if (value.maker != makers - 1 - p) continue;
        for (const int32_t from : value.from) {
          begins[static_cast<size_t>(from)] = std::min(begins[static_cast<size_t>(from)], p);
          if (below(10) < 6) read.insert(from);
        }
        if (below(10) < 4 || value.behind_sum) read.insert(static_cast<int32_t>(v));
      }
      for (const int32_t v : read) block_.values[static_cast<size_t>(v)].wants.push_back(p);
    }
    for (size_t v = 0; v < block_.values.size(); ++v) {
      const SegmentModel::Value& value = block_.values[v];
      for (int p = std::max(begins[v], 0); p <= makers - 1 - value.maker; ++p) {
        block_.backward[static_cast<size_t>(p)].during += value.bytes;
        if (p > begins[v]) block_.backward[static_cast<size_t>(p)].before += value.bytes;
      }
    }
  }

  std::mt19937 random_;
  SegmentModel block_;
};

}  // namespace ringmaster::passes
