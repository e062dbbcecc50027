// SPDX-License-Identifier: Apache-2.0
#include "train/frontier.h"

#include "passes/passes.h"
#include "passes/work.h"

#include <algorithm>
#include <cmath>

namespace ringmaster::train {

namespace {

Programs compile_with_all_saved(config::Config config, ProgramOptions options) {
  config.activation_checkpoint = {};
  options.explain = false;
  return compile(config, options);
}

}  // namespace

Frontier::Frontier(config::Config config, const ProgramOptions& options, const cost::Table& costs)
    : Frontier(compile_with_all_saved(std::move(config), options), options, costs) {}

Frontier::Frontier(Programs programs, const ProgramOptions& options, const cost::Table& costs)
    : costs_(costs), threads_(options.threads), programs_(std::move(programs)) {
  CHECK(programs_.checkpointing == passes::Checkpointing::none, "a frontier begins where all is saved");
  for (const models::Phase& phase : programs_.recipe->phases) {
    Phase& made = phases_.emplace_back(Phase{programs_.find(phase.name), phase.repeats, {}});
    const ir::Graph& graph = made.program->graph;
    seconds_of_none_ += passes::seconds_of(graph, costs_, programs_.deal.count, phase.repeats).sum();
    for (size_t r = 0; r < graph.regions().size(); ++r) {
      if (graph.regions()[r].kind != ir::RegionKind::for_grain) continue;
      auto budget = std::make_unique<passes::Budget>(graph, static_cast<int>(r), costs_);
      if (!budget->has_backward()) continue;
      least_ = std::max(least_, budget->least().bytes);
      none_ = std::max(none_, budget->bytes_of_none());
      made.budgets.push_back(std::move(budget));
    }
  }
}

// Of nodes of one op, attributes and types the scratch is the same; a node that recompute added may be the first of its kind.
int64_t Frontier::scratch_of(const ir::Graph& graph, const ir::Node& node) {
  if (node.op->cpu == nullptr) return 0;
  const auto in = graph.input_types(node), out = graph.output_types(node);
  const auto [known, is_new] = scratch_.emplace(ir::kernel_key(node, in), 0);
  if (is_new) known->second = node.op->cpu({node.attrs, in, out}, threads_)->scratch_bytes();
  return known->second;
}

ir::Placement Frontier::place(const Phase& phase, const ir::Graph& graph, const std::vector<passes::Remade>& again) {
  std::vector<int64_t> scratch = phase.program->prepared.scratch_bytes;
  scratch.resize(static_cast<size_t>(graph.num_nodes()));  // views need none
  for (const passes::Remade& made : again)
    scratch[static_cast<size_t>(made.clone)] =
        made.from_sum ? scratch_of(graph, graph.node(made.clone)) : scratch[static_cast<size_t>(made.original)];
  return passes::place(
      graph, {.local_grains = programs_.deal.count, .scratch_bytes = std::move(scratch), .states = &programs_.layout});
}

FrontierPoint Frontier::at(int64_t budget) {
  FrontierPoint point{.budget_bytes = budget, .step_seconds = seconds_of_none_};
  std::vector<passes::Tags> tags;
  for (const Phase& phase : phases_) {
    for (const auto& plan : phase.budgets) {
      auto found = *plan->within(std::max(budget, plan->least().bytes));
      point.step_seconds += static_cast<double>(programs_.deal.count * phase.repeats) * found.extra;
      tags.push_back(std::move(found.tags));
    }
  }
  const auto [known, is_new] = peaks_.try_emplace(tags);
  if (is_new) known->second = peak_of(tags);
  point.peak_bytes = known->second;
  return point;
}

int64_t Frontier::peak_of(const std::vector<passes::Tags>& tags) {
  int64_t peak = programs_.layout.end;
  for (const Compiled& program : programs_.compiled) {
    const bool is_phase =
        std::ranges::any_of(phases_, [&](const Phase& p) { return p.program == &program && !p.budgets.empty(); });
    if (!is_phase) peak = std::max(peak, program.placement.peak_bytes);
  }
  auto next = tags.begin();
  for (const Phase& phase : phases_) {
    ir::Graph& graph = work_ = phase.program->graph;
    std::vector<passes::Remade> again;
    for (const auto& plan : phase.budgets)
      for (const passes::Remade& made : plan->obey(graph, *next++)) again.push_back(made);
    passes::schedule(graph, {});
    peak = std::max(peak, place(phase, graph, again).peak_bytes);
  }
  return peak;
}

std::vector<FrontierPoint> Frontier::points(int count) {
  std::vector<FrontierPoint> out;
  if (none_ == 0) return out;
  if (least_ >= none_) return {at(none_)};
  const double factor = std::pow(static_cast<double>(least_) / static_cast<double>(none_), 1.0 / (count - 1));
  for (int k = 0; k < count; ++k) {
    const double share = static_cast<double>(none_) * std::pow(factor, k);
    out.push_back(at(k + 1 == count ? least_ : std::max(least_, static_cast<int64_t>(share))));
  }
  for (size_t k = out.size() - 1; k-- > 0;) {  // what does with less does with more
    if (out[k].step_seconds <= out[k + 1].step_seconds) continue;
    out[k].step_seconds = out[k + 1].step_seconds;
    out[k].peak_bytes = out[k + 1].peak_bytes;
  }
  return out;
}

std::optional<FrontierPoint> Frontier::within(int64_t peak_bytes) {
  FrontierPoint best = at(std::max(least_, none_));
  if (best.peak_bytes <= peak_bytes) return best;
  best = at(least_);
  if (best.peak_bytes > peak_bytes) return std::nullopt;
  int64_t low = least_, high = none_;
  while (high - low > std::max<int64_t>(4096, none_ / 1024)) {
    const int64_t middle = low + (high - low) / 2;
    const FrontierPoint point = at(middle);
    if (point.peak_bytes <= peak_bytes) {
      low = middle;
      best = point;
    } else {
      high = middle;
    }
  }
  return best;
}

}  // namespace ringmaster::train
