// SPDX-License-Identifier: Apache-2.0
#include "passes/modes.h"

#include <algorithm>
#include <cmath>

#include "passes/min_cut.h"
#include "passes/saving.h"

namespace ringmaster::passes {

Tags tags_of_blocks(const Forward& forward, const std::vector<Segment>& segments) {
  Tags tags(forward.values().size());
  const auto blocks = std::ranges::count_if(segments, [](const Segment& s) { return !s.name.empty(); });
  const auto run = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(blocks))));
  int64_t seen = 0;
  int32_t begin = 0;
  for (const Segment& s : segments) {
    seen += s.name.empty() ? 0 : 1;
    if (s.name.empty() || seen % run != 0 || seen == blocks) continue;
    for (int32_t i = begin; i < s.end; ++i)  // all of the run but what goes on
      tags[static_cast<size_t>(i)] = std::ranges::binary_search(s.passing, i) ? 0 : 1;
    begin = s.end;
  }
  return tags;
}

Tags tags_of_selection(const ir::Graph& graph, const Forward& forward, const std::vector<Segment>& segments) {
  const std::vector<Saveable>& values = forward.values();
  Tags tags(values.size());
  for (const Segment& s : segments) {
    int64_t largest = 0;
    for (int32_t i = s.begin; i < s.end; ++i)
      largest = std::max(largest, graph.type(values[static_cast<size_t>(i)].value).bytes());
    std::vector<CutValue> inside;
    for (int32_t i = s.begin; i < s.end; ++i) {
      const Saveable& v = values[static_cast<size_t>(i)];
      const int64_t bytes = graph.type(v.value).bytes();
      const bool product = graph.node(v.maker).op->traits.cost == ir::CostClass::compute;
      inside.push_back({.bytes = bytes,
                        .held = is_small(bytes, largest) || std::ranges::binary_search(s.passing, i),
                        .must_hold = v.fixed || (product && !v.behind_sum),
                        .wanted = !v.wants.empty()});
      for (const int32_t from : v.from)  // what comes from before passes the cut there: it is in memory
        if (from >= s.begin) inside.back().from.push_back(from - s.begin);
    }
    const std::vector<bool> saved = fewest_to_save(inside);
    for (size_t k = 0; k < saved.size(); ++k)
      if (!saved[k] && !inside[k].held && !inside[k].must_hold) tags[static_cast<size_t>(s.begin) + k] = 1;
  }
  return tags;
}

void set_tags(ir::Graph& graph, const Forward& forward, const Tags& tags) {
  for (size_t i = 0; i < tags.size(); ++i)
    graph.set_recompute(forward.values()[i].value, forward.values()[i].fixed ? 0 : tags[i]);
}

}  // namespace ringmaster::passes
