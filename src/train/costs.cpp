// SPDX-License-Identifier: Apache-2.0
#include "train/costs.h"

#include "core/file.h"
#include "passes/work.h"
#include "train/machine.h"
#include "train/train.h"

#include <algorithm>
#include <cctype>

namespace ringmaster::train {

Path costs_file(int threads) {
  std::string machine = cpu_name() + "-" + isa();
  std::ranges::replace_if(
      machine, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_'; }, '-');
  return cache_folder() / "costs" / fmt::format("{}-{}-threads-{}.txt", machine, threads, version());
}

cost::Table load_costs(int threads) {
  const Path file = costs_file(threads);
  std::error_code error;
  if (cache_folder().empty() || !std::filesystem::exists(file, error)) return {};
  try {
    return cost::Table::from_text(read_file(file));
  } catch (const Error&) { return {}; }
}

void keep_costs(const cost::Table& measured, int threads) {
  if (cache_folder().empty())
    throw Error({.kind = ErrorKind::io,
                 .message = "this user has no home folder to keep a cache in",
                 .cure = "set RINGMASTER_CACHE_DIR"});
  const Path file = costs_file(threads);
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  cost::Table all = load_costs(threads);
  all.merge(measured);
  write_file_atomic(file, all.to_text());
}

cost::Table share_costs(Wire& wire, int threads) {
  const std::string mine = wire.is_root() ? load_costs(threads).to_text() : "";
  return cost::Table::from_text(wire.gather("costs", mine).front());
}

double step_seconds(const Programs& programs, const cost::Table& costs) {
  double seconds = 0;
  for (const models::Phase& phase : programs.recipe->phases)
    seconds += passes::seconds_of(programs.find(phase.name)->graph, costs, programs.deal.count, phase.repeats).sum();
  return seconds;
}

bool is_calibrated(const Programs& programs, const cost::Table& costs) {
  if (costs.size() == 0) return false;
  for (const models::Phase& phase : programs.recipe->phases) {
    const ir::Graph& graph = programs.find(phase.name)->graph;
    for (const ir::Region& region : graph.regions())
      for (const ir::NodeId id : region.nodes)
        if (const ir::Node& node = graph.node(id);
            passes::takes_time(graph, node) && !costs.has(passes::work_of(graph, node)))
          return false;
  }
  return true;
}

}  // namespace ringmaster::train
