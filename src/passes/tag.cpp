// SPDX-License-Identifier: Apache-2.0
// tag: which values of forward are saved for backward, and which backward makes again (ir::Value::recompute; recompute.cpp obeys).
//   none       all are saved
//   block      forward is cut at the entries of the model's blocks into runs, about as many as a run has blocks; of a run what
//              goes on to the next one is saved, and the rest is made again, all of it, when backward gets there. The last run
//              is saved: backward begins with it.       Chen et al. 2016, arXiv:1604.06174, section 4.2
//   selective  within a block the fewest bytes from which all that backward reads can be made without a product or an attention
//              (min_cut.h); what goes on to the next block is saved
//   budget     what keeps all activations within a number of bytes and costs least time (budget.h)
// Keeps: every bit, whatever the tags.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "passes/budget.h"
#include "passes/forward.h"
#include "passes/min_cut.h"
#include "passes/passes.h"
#include "passes/segments.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;

// Tags the values begin .. end - 1 but for those that pass the end, and those that can not be made again.
void make_again(Graph& graph, const Forward& forward, int32_t begin, int32_t end, const std::vector<int32_t>& passing) {
  for (int32_t i = begin; i < end; ++i) {
    const Saveable& s = forward.values()[static_cast<size_t>(i)];
    if (!s.fixed && !std::ranges::binary_search(passing, i)) graph.set_recompute(s.value, 1);
  }
}

void tag_blocks(Graph& graph, const Forward& forward) {
  const std::vector<Segment> segments = cut(graph, forward);
  const auto blocks = std::ranges::count_if(segments, [](const Segment& s) { return !s.name.empty(); });
  const auto run = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(blocks))));
  int64_t seen = 0;
  int32_t begin = 0;
  for (const Segment& s : segments) {
    seen += s.name.empty() ? 0 : 1;
    if (s.name.empty() || seen % run != 0 || seen == blocks) continue;
    make_again(graph, forward, begin, s.end, s.passing);
    begin = s.end;
  }
}

void tag_selected(Graph& graph, const Forward& forward) {
  const std::vector<Saveable>& values = forward.values();
  for (const Segment& s : cut(graph, forward)) {
    int64_t largest = 0;
    for (int32_t i = s.begin; i < s.end; ++i)
      largest = std::max(largest, graph.type(values[static_cast<size_t>(i)].value).bytes());
    std::vector<CutValue> inside;
    for (int32_t i = s.begin; i < s.end; ++i) {
      const Saveable& v = values[static_cast<size_t>(i)];
      const int64_t bytes = graph.type(v.value).bytes();
      const bool product = graph.node(v.maker).op->traits.cost == ir::CostClass::compute;
      inside.push_back({.bytes = bytes,
                        .held = bytes * small_part < largest || std::ranges::binary_search(s.passing, i),
                        .must_hold = v.fixed || (product && !v.behind_sum),
                        .wanted = !v.wants.empty()});
      for (const int32_t from : v.from)  // what comes from before passes the cut there: it is in memory
        if (from >= s.begin) inside.back().from.push_back(from - s.begin);
    }
    const std::vector<bool> saved = fewest_to_save(inside);
    for (size_t k = 0; k < saved.size(); ++k)
      if (!saved[k] && !inside[k].held && !inside[k].must_hold)
        graph.set_recompute(values[static_cast<size_t>(s.begin) + k].value, 1);
  }
}

void tag_within_budget(Graph& graph, int region, const Settings& settings) {
  const cost::Table estimates;
  Budget budget(graph, region, settings.costs != nullptr ? *settings.costs : estimates);
  const auto bytes = settings.budget_share > 0
                         ? static_cast<int64_t>(settings.budget_share * static_cast<double>(budget.bytes_of_none()))
                         : settings.budget_bytes;
  const auto found = budget.within(bytes);
  const int64_t least = budget.least().bytes;
  if (!found) {
    throw Error({.kind = ErrorKind::memory,
                 .message = fmt::format("no schedule of {} keeps its activations within the budget", graph.name()),
                 .key = "activation_checkpoint.budget",
                 .found = fmt::format("{} bytes", bytes),
                 .expected = fmt::format("at least {} bytes", least),
                 .cure = fmt::format("set activation_checkpoint.budget to {}, or lower training.grain_size", least)});
  }
  for (size_t i = 0; i < found->tags.size(); ++i)
    graph.set_recompute(budget.forward().values()[i].value, found->tags[i]);
  if (settings.recomputed == nullptr) return;
  settings.recomputed->budget_bytes = bytes;
  settings.recomputed->minimum_bytes = least;
  settings.recomputed->lower_bound_seconds = found->lower_bound;
}

// Leaves tags on what backward will really make: what it reads, and what that is made from.
void clear_idle(Graph& graph, const Forward& forward) {
  std::vector<bool> needed(forward.values().size());
  for (size_t i = needed.size(); i-- > 0;) {
    const Saveable& s = forward.values()[i];
    if (graph.value(s.value).recompute == 0) continue;
    if (!s.wants.empty()) needed[i] = true;
    if (!needed[i]) graph.set_recompute(s.value, 0);
    if (!needed[i]) continue;
    for (const int32_t from : s.from) needed[static_cast<size_t>(from)] = true;
  }
}

void note_what_is_not_saved(const Graph& graph, const Forward& forward, Recomputed& out) {
  for (const Saveable& s : forward.values()) {
    if (graph.value(s.value).recompute == 0 || s.wants.empty()) continue;
    out.not_saved[place_of(graph.node(s.maker).scope)] += graph.type(s.value).bytes();
  }
}

struct Saved {
  int64_t all = 0, left = 0;  // bytes that backward reads; of these, what is not made again
};
Saved count(const Graph& graph, const Forward& forward) {
  Saved out;
  for (const Saveable& s : forward.values()) {
    if (s.wants.empty()) continue;
    const int64_t bytes = graph.type(s.value).bytes();
    out.all += bytes;
    if (graph.value(s.value).recompute == 0) out.left += bytes;
  }
  return out;
}

}  // namespace

std::optional<Checkpointing> checkpointing_from_name(std::string_view name) {
  if (name == "none") return Checkpointing::none;
  if (name == "block") return Checkpointing::block;
  if (name == "selective") return Checkpointing::selective;
  if (name == "budget") return Checkpointing::budget;
  return std::nullopt;
}

std::string tag(Graph& graph, const Settings& settings) {
  Saved total;
  if (settings.recomputed != nullptr) settings.recomputed->bytes_of_none = activation_bytes(graph);
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    if (graph.regions()[r].kind != ir::RegionKind::for_grain) continue;
    const Forward forward(graph, static_cast<int>(r));
    if (count(graph, forward).all == 0) continue;  // no backward
    if (settings.checkpointing == Checkpointing::block) tag_blocks(graph, forward);
    if (settings.checkpointing == Checkpointing::selective) tag_selected(graph, forward);
    if (settings.checkpointing == Checkpointing::budget) tag_within_budget(graph, static_cast<int>(r), settings);
    clear_idle(graph, forward);
    if (settings.recomputed != nullptr) note_what_is_not_saved(graph, forward, *settings.recomputed);
    const Saved saved = count(graph, forward);
    total.all += saved.all;
    total.left += saved.left;
  }
  return fmt::format("of {} bytes of forward that backward reads, {} are saved", total.all, total.left);
}

}  // namespace ringmaster::passes
