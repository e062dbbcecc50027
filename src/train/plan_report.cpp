// SPDX-License-Identifier: Apache-2.0
#include "train/plan_report.h"

#include "passes/budget.h"
#include "train/feed.h"
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

RankPlan rank_plan(const Programs& programs, const comm::RingShape& who) {
  const Compiled& high = highest(programs);
  RankPlan plan{.rank = who.rank,
                .grains = programs.deal.count,
                .peak_bytes = high.placement.peak_bytes,
                .by_category = ir::by_category(high.placement, programs.layout)};
  for (const models::Phase& phase : programs.recipe->phases) {
    const Compiled& program = *programs.find(phase.name);
    const auto num_scalars = static_cast<int64_t>(weight_inputs(program.graph).size()) + 1;
    const comm::Sent sent = step_sent(program.graph, num_scalars, who);
    plan.wire_bytes_sent += sent.bytes * phase.repeats;
    plan.messages_sent += sent.messages * phase.repeats;
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
  const int64_t where = ir::fullest(program.placement);
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

// What the nodes of one grain take, and of these what runs again, by block.
PlanReport::Recompute recompute_of(const Compiled& program, int64_t grains, const std::string& mode) {
  const cost::Table costs;
  PlanReport::Recompute out{.mode = mode,
                            .phase = program.graph.name(),
                            .activation_bytes = passes::activation_bytes(program.graph),
                            .bytes_of_none = program.recomputed.bytes_of_none};
  if (mode == "budget") {
    out.budget_bytes = program.recomputed.budget_bytes;
    out.minimum_budget_bytes = program.recomputed.minimum_bytes;
    out.lower_bound_seconds = static_cast<double>(grains) * program.recomputed.lower_bound_seconds;
  }
  std::map<std::string, double> again;
  std::vector<std::string> order;
  for (const ir::Region& region : program.graph.regions()) {
    const double runs = region.kind == ir::RegionKind::for_grain ? static_cast<double>(grains) : 1.0;
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = program.graph.node(id);
      const std::string place = passes::place_of(node.scope);
      if (std::ranges::find(order, place) == order.end()) order.push_back(place);
      if (program.prepared.kernels[static_cast<size_t>(id)] == nullptr) continue;
      const double seconds = runs * costs.seconds(passes::work_of(program.graph, node));
      (node.again ? out.extra_seconds : out.step_seconds) += seconds;
      if (node.again) again[place] += seconds;
    }
  }
  for (const std::string& place : order) {
    const auto bytes = program.recomputed.not_saved.find(place);
    if (bytes == program.recomputed.not_saved.end() && !again.contains(place)) continue;
    out.items.push_back({place, bytes == program.recomputed.not_saved.end() ? 0 : bytes->second, again[place]});
  }
  return out;
}

std::string bar(double share, bool unicode) {
  const int eighths = static_cast<int>(share * 20 * 8 + 0.5);
  if (!unicode) return std::string(static_cast<size_t>((eighths + 7) / 8), '#');
  constexpr const char* partial[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  return out + partial[eighths % 8];
}

const char* what_it_is(Category category) {
  switch (category) {
    case Category::weights: return "as the products read them";
    case Category::master: return "of weights read in 16 bits: f32, or (split) the other 16";
    case Category::gradients: return "f32, summed over grains, alive at the peak";
    case Category::optimizer: return "what the update rules and averages keep";
    case Category::activations: return "of one grain, with what lifetimes leave unused";
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
  ProgramOptions programs{.train = true,
                          .validation = true,
                          .ranks = options.ranks,
                          .threads = report.threads,
                          .segment_bytes = c.comm.segment_bytes};
  for (int rank = 0; rank < options.ranks; ++rank) {
    programs.rank = rank;
    const Programs compiled = compile(c, programs);
    report.per_rank.push_back(
        rank_plan(compiled, {.rank = rank, .size = options.ranks, .segment_bytes = c.comm.segment_bytes}));
    report.flops_per_step += report.per_rank.back().gemm_flops;
    if (rank > 0) continue;
    report.plan_hash = compiled.hash();
    report.parameters = compiled.recipe->num_parameters();
    report.peak = find_peak(highest(compiled));
    for (const models::Phase& phase : compiled.recipe->phases) {
      auto found = recompute_of(*compiled.find(phase.name), compiled.deal.count, c.activation_checkpoint.mode);
      if (found.bytes_of_none > report.recompute.bytes_of_none) report.recompute = std::move(found);
    }
  }
  const MemoryLimit limit = memory_limit(options.ranks);
  report.memory_limit = options.memory_bytes > 0 ? options.memory_bytes : limit.bytes;
  report.memory_source = options.memory_bytes > 0 ? "flag" : limit.source;
  for (const RankPlan& rank : report.per_rank)
    report.fits = report.fits && (report.memory_limit == 0 || rank.peak_bytes <= report.memory_limit);
  return report;
}

namespace {

template <typename T> nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// How much longer than need be, as a share of a step; null where no bound is known.
std::optional<double> gap_of(const PlanReport::Recompute& r) {
  if (!r.lower_bound_seconds) return std::nullopt;
  return std::max(0.0, r.extra_seconds - *r.lower_bound_seconds) / (r.step_seconds + *r.lower_bound_seconds);
}

nlohmann::json recompute_json(const PlanReport::Recompute& r) {
  nlohmann::json items = nlohmann::json::array();
  for (const auto& item : r.items)
    items.push_back({{"scope", item.scope}, {"bytes_saved", item.bytes_saved}, {"seconds_added", item.seconds_added}});
  return {{"mode", r.mode},
          {"budget_bytes", or_null(r.budget_bytes)},
          {"minimum_budget_bytes", or_null(r.minimum_budget_bytes)},
          {"activation_bytes", r.activation_bytes},
          {"activation_bytes_of_none", r.bytes_of_none},
          {"extra_seconds", r.extra_seconds},
          {"lower_bound_seconds", or_null(r.lower_bound_seconds)},
          {"gap", or_null(gap_of(r))},
          {"items", items}};
}

// "transformer.h.0" and "transformer.h.1" have one shape where they save and cost the same.
bool alike(const PlanReport::Recompute::Item& a, const PlanReport::Recompute::Item& b) {
  const auto stem = [](const std::string& scope) { return scope.substr(0, scope.find_last_not_of("0123456789") + 1); };
  return stem(a.scope) == stem(b.scope) && a.bytes_saved == b.bytes_saved &&
         std::abs(a.seconds_added - b.seconds_added) <= 1e-9 + 1e-6 * a.seconds_added;
}

std::string seconds_text(double seconds) {
  return seconds >= 1 ? fmt::format("{:.2f} s", seconds) : fmt::format("{:.1f} ms", seconds * 1e3);
}

// What is not saved, blocks that are alike in one row.
std::string recompute_text(const PlanReport::Recompute& r) {
  if (r.mode == "none") return "";
  std::string out =
      fmt::format("recompute      {}{}: activations {} in place of {}, {} a step more, {:.1f} % (estimated)\n", r.mode,
                  r.budget_bytes ? " " + bytes_text(*r.budget_bytes) : "", bytes_text(r.activation_bytes),
                  bytes_text(r.bytes_of_none), seconds_text(r.extra_seconds), 100 * r.extra_seconds / r.step_seconds);
  if (const auto gap = gap_of(r))
    out += fmt::format("               no schedule is faster by more than {:.2f} % of a step; the least budget is {}\n",
                       100 * *gap, bytes_text(*r.minimum_budget_bytes));
  for (size_t i = 0; i < r.items.size();) {
    size_t end = i + 1;
    while (end < r.items.size() && alike(r.items[i], r.items[end])) ++end;
    const auto count = static_cast<int64_t>(end - i);
    const auto& item = r.items[i];
    out += fmt::format("  {:>12}  {:>9} more  {}\n", bytes_text(count * item.bytes_saved),
                       seconds_text(static_cast<double>(count) * item.seconds_added),
                       count == 1 ? item.scope : fmt::format("{} to {}", item.scope, r.items[end - 1].scope));
    i = end;
  }
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
                     {"process_bytes", nullptr},
                     {"wire_bytes_sent", p.wire_bytes_sent},
                     {"messages_sent", p.messages_sent}});
  }
  for (const PlanReport::Tensor& t : r.peak.tensors) tensors.push_back({{"name", t.name}, {"bytes", t.bytes}});
  return {{"schema", "ringmaster.plan/1"},
          {"ranks", r.ranks},
          {"threads_per_rank", r.threads},
          {"isa", r.isa},
          {"compute", r.compute},
          {"calibrated", false},
          {"plan_hash", r.plan_hash},
          {"parameters", r.parameters},
          {"flops_per_step", r.flops_per_step},
          {"predicted_step_seconds", nullptr},
          {"exposed_comm_seconds", nullptr},
          {"shared_memory_bytes_per_node", 0},
          {"per_rank", ranks},
          {"peak", {{"instruction", r.peak.instruction}, {"scope", r.peak.scope}, {"tensors", tensors}}},
          {"recompute", recompute_json(r.recompute)},
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
                                r.isa, r.fits ? "fits" : "DOES NOT FIT", bytes_text(most.peak_bytes),
                                bytes_text(r.memory_limit), r.memory_source);
  for (const Category category : categories) {
    const auto found = most.by_category.find(category);
    if (found == most.by_category.end() || found->second == 0) continue;
    const std::string drawn = bar(static_cast<double>(found->second) / static_cast<double>(most.peak_bytes), unicode);
    const auto width = static_cast<size_t>(std::count_if(
        drawn.begin(), drawn.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xC0U) != 0x80U; }));
    out += fmt::format("  {:<14}{:>9}  {}{}  {}\n", ir::name(category), bytes_text(found->second), drawn,
                       std::string(20 - std::min<size_t>(width, 20), ' '), what_it_is(category));
  }
  out += fmt::format("  {:<14}{:>9}\n\n", "peak", bytes_text(most.peak_bytes));
  out += r.peak.scope.empty() ? fmt::format("peak at        {}\n", r.peak.instruction)
                              : fmt::format("peak at        {} ({})\n", r.peak.scope, r.peak.instruction);
  for (size_t i = 0; i < std::min<size_t>(r.peak.tensors.size(), 4); ++i)
    out += fmt::format("  {:>12}  {}\n", bytes_text(r.peak.tensors[i].bytes), r.peak.tensors[i].name);
  out +=
      fmt::format("step           {} parameters, {}FLOP in matrix products, {} on the wire\n",
                  count_text(static_cast<double>(r.parameters), " "),
                  count_text(static_cast<double>(r.flops_per_step), " "), bytes_text(most.wire_bytes_sent) + " a rank");
  std::string grains;
  int64_t num_grains = 0;
  for (const RankPlan& p : r.per_rank) {
    grains += fmt::format("{}{}", grains.empty() ? "" : " + ", p.grains);
    num_grains += p.grains;
  }
  if (r.ranks <= 16) out += fmt::format("grains         {}\n", grains);
  const std::string idle = about_idle_ranks(num_grains, r.ranks);
  if (!idle.empty()) out += fmt::format("idle           {}\n", idle);
  out += recompute_text(r.recompute);
  return out;
}

}  // namespace ringmaster::train
