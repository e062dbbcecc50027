// SPDX-License-Identifier: Apache-2.0
// tag: which values of forward are saved for backward, and which backward makes again (ir::Value::recompute; recompute.cpp obeys).
//   none       all are saved
//   block      forward is cut at the entries of the model's blocks into runs, about as many as a run has blocks; of a run what
//              goes on to the next one is saved, and the rest is made again, all of it, when backward gets there. The last run
//              is saved: backward begins with it.       Chen et al. 2016, arXiv:1604.06174, section 4.2
//   selective  within a block the fewest bytes from which all that backward reads can be made without a product or an attention
//              (min_cut.h); what goes on to the next block is saved
//   budget     what keeps all activations within a number of bytes and costs least time (budget.h)
// block and selective leave all saved where that takes less memory. Keeps: every bit, whatever the tags.
#include <algorithm>

#include "core/error.h"
#include "passes/budget.h"
#include "passes/forward.h"
#include "passes/modes.h"
#include "passes/passes.h"
#include "passes/recompute.h"
#include "passes/segments.h"

namespace ringmaster::passes {
namespace {

using ir::Graph;

void tag_within_budget(Graph& graph, int region, const Settings& settings) {
  const cost::Table estimates;
  Budget budget(graph, region, settings.costs != nullptr ? *settings.costs : estimates);
  const auto bytes = settings.budget_share > 0
                         ? static_cast<int64_t>(settings.budget_share * static_cast<double>(budget.bytes_of_none()))
                         : settings.budget_bytes;
  const auto found = budget.within(bytes);
  const int64_t least = budget.least().bytes;
  if (!found) {
    throw Error(
        {.kind = ErrorKind::memory,
         .message = fmt::format("no schedule of the phase {} keeps its activations within the budget of {} bytes",
                                graph.name(), bytes),
         .key = "activation_checkpoint.budget",
         .found = fmt::format("{} bytes", bytes),
         .expected = fmt::format("at least {} bytes", least),
         .cure = fmt::format("set activation_checkpoint.budget to {}, or lower training.grain_size where it is above 1",
                             least)});
  }
  budget.set_tags(graph, found->tags);
  if (settings.recomputed == nullptr) return;
  settings.recomputed->budget_bytes = bytes;
  settings.recomputed->minimum_bytes = least;
  settings.recomputed->lower_bound_seconds = found->lower_bound;
}

// None where they take more memory than they spare: a penalty on gradients goes through forward twice, and what the second pass keeps
// the modes do not see.
void set_tags_that_help(Graph& graph, const Forward& forward, const Tags& tags) {
  Graph obeys = graph;
  set_tags(obeys, forward, tags);
  remake(obeys, Forward(obeys, forward.region()));
  if (activation_bytes(obeys) < activation_bytes(graph)) set_tags(graph, forward, tags);
}

[[noreturn]] void refuse_a_second_region(const Graph& graph) {
  throw Error(
      {.kind = ErrorKind::config,
       .message = fmt::format("{} goes over its grains twice, and a budget is planned for one pass", graph.name()),
       .key = "activation_checkpoint.mode",
       .found = "budget",
       .expected = "none, block or selective",
       .cure = "set activation_checkpoint.mode to selective"});
}

// Leaves tags on what backward will really make: what it reads, and what that is made from.
void clear_idle(Graph& graph, const Forward& forward) {
  std::vector<bool> needed(forward.values().size());
  for (size_t i = needed.size(); i-- > 0;) {
    const Saveable& s = forward.values()[i];
    if (graph.value(s.value).recompute == 0) continue;
    if (s.wants.empty() && !needed[i]) {
      graph.set_recompute(s.value, 0);
      continue;
    }
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
  int64_t planned = 0;  // regions
  if (settings.recomputed != nullptr) {
    settings.recomputed->bytes_of_none = activation_bytes(graph);
    settings.recomputed->saved_bytes_of_none = saved_bytes(graph);
  }
  for (size_t r = 0; r < graph.regions().size(); ++r) {
    if (graph.regions()[r].kind != ir::RegionKind::for_grain) continue;
    const Forward forward(graph, static_cast<int>(r));
    if (count(graph, forward).all == 0) continue;  // no backward
    if (settings.checkpointing == Checkpointing::block)
      set_tags_that_help(graph, forward, tags_of_blocks(forward, cut(graph, forward)));
    if (settings.checkpointing == Checkpointing::selective)
      set_tags_that_help(graph, forward, tags_of_selection(graph, forward, cut(graph, forward)));
    if (settings.checkpointing == Checkpointing::budget && planned++ > 0) refuse_a_second_region(graph);
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
