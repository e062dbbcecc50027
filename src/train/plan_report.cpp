// SPDX-License-Identifier: Apache-2.0
#include "train/plan_report.h"

#include "passes/budget.h"
#include "train/costs.h"
#include "train/feed.h"
#include "train/frontier_plot.h"
#include "train/machine.h"
#include "train/session.h"
#include "train/terminal.h"
#include "train/wire.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace ringmaster::train {
namespace {

using Category = ir::Category;
constexpr Category categories[] = {Category::weights,       Category::master,      Category::gradients,
                                   Category::optimizer,     Category::activations, Category::workspace,
                                   Category::communication, Category::batches};

// The program that needs most: its peak is the rank's.
const Compiled& highest(const Programs& programs) {
  return *std::max_element(
      programs.compiled.begin(), programs.compiled.end(),
      [](const Compiled& a, const Compiled& b) { return a.placement.peak_bytes < b.placement.peak_bytes; });
}

RankPlan rank_plan(const Programs& programs) {
  const Compiled& high = highest(programs);
  RankPlan plan{.rank = programs.team.rank,
                .grains = programs.deal.count,
                .peak_bytes = high.placement.peak_bytes,
                .by_category = ir::by_category(high.placement, programs.layout),
                .process_bytes = programs.process_bytes(),
                .node_share_bytes = programs.node_share_bytes()};
  for (const models::Phase& phase : programs.recipe->phases) {
    const Compiled& program = *programs.find(phase.name);
    const auto num_scalars = static_cast<int64_t>(weight_inputs(program.graph).size()) + 1;
    const exec::Exchanged once = step_exchanged(program.graph, num_scalars, programs.team);
    plan.wire_bytes_sent += once.sent.bytes * phase.repeats;
    plan.messages_sent += once.sent.messages * phase.repeats;
    plan.node_bytes_read += once.read * phase.repeats;
    for (const ir::Region& region : program.graph.regions()) {
      const int64_t runs = region.kind == ir::RegionKind::for_grain ? programs.deal.count : 1;
      for (const ir::NodeId id : region.nodes)
        plan.gemm_flops += phase.repeats * runs * program.prepared.gemm_flops[static_cast<size_t>(id)];
    }
  }
  return plan;
}

std::string value_name(const ir::Graph& graph, ir::ValueId v) {
  const ir::Node& node = graph.producer(v);
  return fmt::format("{}{}{} {}", node.scope, node.scope.empty() ? "" : " ", node.op->name, ir::str(graph.type(v)));
}

// A bucket holds all that one collective moves.
std::string buffer_name(const ir::Graph& graph, const ir::Buffer& b) {
  const bool bucket = b.category == Category::gradients && b.bytes > ir::align_up(graph.type(b.value).bytes());
  return bucket ? "gradients and loss terms, one bucket" : value_name(graph, b.value);
}

// Where in its program's order most bytes are alive, and what they are.
PlanReport::Peak find_peak(const Compiled& program) {
  std::vector<ir::NodeId> order;
  for (const ir::Region& region : program.graph.regions())
    order.insert(order.end(), region.nodes.begin(), region.nodes.end());
  if (order.empty()) return {};
  const int64_t where = ir::fullest(program.placement.buffers).position;
  const ir::Node& node = program.graph.node(order[static_cast<size_t>(where)]);
  PlanReport::Peak peak{.instruction = node.op->name, .scope = node.scope};
  for (const ir::Buffer& b : program.placement.buffers)
    if (b.value != ir::none && b.first <= where && where <= b.last)
      peak.tensors.push_back({buffer_name(program.graph, b), b.bytes});
  std::stable_sort(peak.tensors.begin(), peak.tensors.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  constexpr size_t shown = 8;
  if (peak.tensors.size() > shown) peak.tensors.resize(shown);
  return peak;
}

std::string where_of(const PlanReport::Peak& peak) {
  return peak.scope.empty() ? peak.instruction : fmt::format("{} ({})", peak.scope, peak.instruction);
}

const char* what_it_is(Category category) {
  switch (category) {
    case Category::weights: return "as the products read them";
    case Category::master: return "of weights read in 16 bits: f32, or (split) the other 16";
    case Category::gradients: return "summed over grains, those alive at the peak";
    case Category::optimizer: return "what the update rules and averages keep";
    case Category::activations: return "of one grain, at the peak; with what lifetimes leave unused";
    case Category::workspace: return "scratch of the kernel under way";
    case Category::communication: return "buffers of collectives";
    case Category::batches: return "inputs of this rank's grains";
  }
  return "";
}

}  // namespace

PlanReport plan(const config::Resolved& resolved, const PlanOptions& options) {
  PlanReport report{.name = Path(resolved.file).stem().string(),
                    .ranks = options.ranks,
                    .compute = resolved.config.precision.compute,
                    .isa = isa()};
  const config::Config& c = resolved.config;
  check_recipe(resolved);
  report.threads = options.threads > 0 ? options.threads : threads_per_rank(c.launch.threads_per_rank, options.ranks);
  ProgramOptions programs{
      .train = true, .validation = true, .threads = report.threads, .explain = true, .costs = &options.costs};
  const auto team = [&](int rank) {  // all on one node
    return exec::planned_team(rank, options.ranks, c.comm.shared_memory ? options.ranks : 1, c.comm.segment_bytes,
                              options.choice);
  };
  std::optional<Programs> first;
  for (int rank = 0; rank < options.ranks; ++rank) {
    programs.team = team(rank);
    Programs compiled = compile(c, programs);
    report.per_rank.push_back(rank_plan(compiled));
    report.flops_per_step += report.per_rank.back().gemm_flops;
    if (rank > 0) continue;
    report.plan_hash = compiled.hash();
    if (compiled.team.shares())
      report.shared_bytes_per_node =
          compiled.layout.shared_bytes + compiled.team.node_size * compiled.layout.exchange_bytes;
    report.parameters = compiled.recipe->num_parameters();
    for (const models::Phase& phase : compiled.recipe->phases) {
      const ir::Graph& graph = compiled.find(phase.name)->graph;
      report.instructions += graph.live_nodes();
      std::ranges::copy(collectives_of(graph, compiled.team), std::back_inserter(report.collectives));
    }
    report.peak = find_peak(highest(compiled));
    report.timeline = timeline_of(highest(compiled), compiled.layout);
    report.recompute = recompute_report(compiled, c, options.costs);
    report.predicted_step_seconds = step_seconds(compiled, options.costs);
    report.calibrated = is_calibrated(compiled, options.costs);
    if (compiled.checkpointing == passes::Checkpointing::none) first = std::move(compiled);
  }
  const MemoryLimit limit = memory_limit(options.ranks);
  report.memory_limit = options.memory_bytes > 0 ? options.memory_bytes : limit.bytes;
  report.memory_source = options.memory_bytes > 0 ? "flag" : limit.source;
  report.per_process = options.memory_bytes == 0 && limit.per_process;
  const auto needed = [&](const RankPlan& rank) {
    return report.per_process ? rank.process_bytes : rank.node_share_bytes;
  };
  for (const RankPlan& rank : report.per_rank)
    report.fits = report.fits && (report.memory_limit == 0 || needed(rank) <= report.memory_limit);
  programs.team = team(0);
  if (!report.fits) report.advice = advise(c, programs, {report.memory_limit, report.per_process}, options.costs);
  if (options.sweep > 0) {
    Frontier frontier =
        first ? Frontier(std::move(*first), programs, options.costs) : Frontier(c, programs, options.costs);
    report.sweep = frontier.points(options.sweep);
  }
  return report;
}

namespace {

nlohmann::json sweep_json(const std::vector<FrontierPoint>& sweep) {
  nlohmann::json out = nlohmann::json::array();
  for (const FrontierPoint& p : sweep)
    out.push_back(
        {{"budget_bytes", p.budget_bytes}, {"peak_bytes", p.peak_bytes}, {"predicted_step_seconds", p.step_seconds}});
  return out;
}

}  // namespace

nlohmann::json to_json(const PlanReport& r) {
  using nlohmann::json;
  json ranks = json::array(), tensors = json::array();
  for (const RankPlan& p : r.per_rank) {
    json by_category{{"gathers", 0}};
    for (const Category category : categories)
      by_category[ir::name(category)] = p.by_category.contains(category) ? p.by_category.at(category) : 0;
    ranks.push_back({{"rank", p.rank},
                     {"grains", p.grains},
                     {"peak_bytes", p.peak_bytes},
                     {"by_category", by_category},
                     {"process_bytes", p.process_bytes},
                     {"node_share_bytes", p.node_share_bytes},
                     {"wire_bytes_sent", p.wire_bytes_sent},
                     {"messages_sent", p.messages_sent},
                     {"node_bytes_read", p.node_bytes_read}});
  }
  json collectives = json::array();
  for (const PlannedCollective& one : r.collectives)
    collectives.push_back({{"program", one.program}, {"bytes", one.bytes}, {"algorithm", one.algorithm}});
  for (const PlanReport::Tensor& t : r.peak.tensors) tensors.push_back({{"name", t.name}, {"bytes", t.bytes}});
  return {{"schema", "ringmaster.plan/1"},
          {"ranks", r.ranks},
          {"threads_per_rank", r.threads},
          {"isa", r.isa},
          {"compute", r.compute},
          {"calibrated", r.calibrated},
          {"plan_hash", r.plan_hash},
          {"parameters", r.parameters},
          {"instructions", r.instructions},
          {"flops_per_step", r.flops_per_step},
          {"predicted_step_seconds", r.predicted_step_seconds},
          {"exposed_comm_seconds", nullptr},
          {"shared_memory_bytes_per_node", r.shared_bytes_per_node},
          {"per_rank", ranks},
          {"collectives", collectives},
          {"peak", {{"instruction", r.peak.instruction}, {"scope", r.peak.scope}, {"tensors", tensors}}},
          {"recompute", to_json(r.recompute)},
          {"advice", to_json(r.advice)},
          {"sweep", sweep_json(r.sweep)},
          {"memory",
           {{"limit_bytes", r.memory_limit > 0 ? json(r.memory_limit) : json(nullptr)},
            {"source", r.memory_source.empty() ? json(nullptr) : json(r.memory_source)},
            {"fits", r.fits}}}};
}

std::string to_text(const PlanReport& r) {
  const bool unicode = utf8_locale();
  const RankPlan& most =
      *std::max_element(r.per_rank.begin(), r.per_rank.end(),
                        [](const RankPlan& a, const RankPlan& b) { return a.peak_bytes < b.peak_bytes; });
  std::string out = fmt::format("{} on {} rank{} x {} thread{}, {} on {}   {}: {} of {} a rank ({})\n\n", r.name,
                                r.ranks, r.ranks == 1 ? "" : "s", r.threads, r.threads == 1 ? "" : "s", r.compute,
                                r.isa, r.fits ? "fits" : "DOES NOT FIT",
                                bytes_text(r.per_process ? most.process_bytes : most.node_share_bytes),
                                bytes_text(r.memory_limit), r.memory_source);
  for (const Category category : categories) {
    const auto found = most.by_category.find(category);
    if (found == most.by_category.end() || found->second == 0) continue;
    const std::string drawn = bar(static_cast<double>(found->second) / static_cast<double>(most.peak_bytes), unicode);
    out += fmt::format("  {:<14}{:>9}  {}{}  {}\n", ir::name(category), bytes_text(found->second), drawn,
                       std::string(20 - std::min<size_t>(cells(drawn), 20), ' '), what_it_is(category));
  }
  out += fmt::format("  {:<14}{:>9}\n", "peak", bytes_text(most.peak_bytes));
  out += fmt::format("  {:<14}{:>9}  {:<20}  with the program itself, its libraries and MPI\n\n", "process",
                     bytes_text(most.process_bytes), "");
  out += to_text(r.timeline, unicode) + "\n";
  out += fmt::format("peak at        {}\n", where_of(r.peak));
  for (size_t i = 0; i < std::min<size_t>(r.peak.tensors.size(), 4); ++i)
    out += fmt::format("  {:>12}  {}\n", bytes_text(r.peak.tensors[i].bytes), r.peak.tensors[i].name);
  out +=
      fmt::format("step           {} parameters, {}FLOP in matrix products, {} on the wire\n",
                  count_text(static_cast<double>(r.parameters), " "),
                  count_text(static_cast<double>(r.flops_per_step), " "), bytes_text(most.wire_bytes_sent) + " a rank");
  std::map<std::string, std::pair<int, int64_t>> sums;  // how many and bytes, by algorithm
  for (const PlannedCollective& one : r.collectives) {
    auto& [count, bytes] = sums[one.algorithm];
    count += 1;
    bytes += one.bytes;
  }
  for (const auto& [algorithm, sum] : sums)
    out += fmt::format("sums           {} of {} by {}\n", sum.first, bytes_text(sum.second), algorithm);
  out += fmt::format("time           {} a step without communication, {}\n", short_seconds(r.predicted_step_seconds),
                     r.calibrated ? "as measured on this machine" : "estimated: --calibrate measures this machine");
  std::string grains;
  int64_t num_grains = 0;
  for (const RankPlan& p : r.per_rank) {
    grains += fmt::format("{}{}", grains.empty() ? "" : " + ", p.grains);
    num_grains += p.grains;
  }
  if (r.ranks <= 16) out += fmt::format("grains         {}\n", grains);
  if (r.shared_bytes_per_node > 0)
    out += fmt::format(
        "node           {} of memory shared by its {} ranks, all on this one, {} read of the others a rank and step\n",
        bytes_text(r.shared_bytes_per_node), r.ranks, bytes_text(most.node_bytes_read));
  const std::string idle = about_idle_ranks(num_grains, r.ranks);
  if (!idle.empty()) out += fmt::format("idle           {}\n", idle);
  out += to_text(r.recompute);
  out += to_text(r.advice);
  if (!r.fits && r.advice.empty())
    out += fmt::format("would fit      nothing that was tried; the program alone takes {} a rank\n",
                       bytes_text(beside_the_arena(r.ranks)));
  out += frontier_text(r.sweep, unicode);
  return out;
}

std::string to_svg(const PlanReport& r) {
  const std::string title = fmt::format("{} on {} rank{} x {} thread{}, {}", r.name, r.ranks, r.ranks == 1 ? "" : "s",
                                        r.threads, r.threads == 1 ? "" : "s", r.compute);
  if (r.sweep.empty()) return to_svg(r.timeline, title, where_of(r.peak));
  return frontier_svg(r.sweep, title, r.calibrated ? "times as measured on this machine" : "times are estimates");
}

}  // namespace ringmaster::train
