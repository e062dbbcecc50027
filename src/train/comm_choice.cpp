// SPDX-License-Identifier: Apache-2.0
#include "train/comm_choice.h"

#include "comm/costs.h"
#include "core/file.h"
#include "core/sha256.h"
#include "exec/prepare.h"
#include "train/machine.h"
#include "train/train.h"

#include <algorithm>

namespace ringmaster::train {
namespace {

// Of a set of machines: each rank's host.
Path file_of(std::vector<std::string> hosts) {
  std::ranges::sort(hosts);
  std::string text = version();
  for (const std::string& host : hosts) text += "\n" + host;
  return cache_folder() / "costs" / fmt::format("comm-{}-ranks-{}.txt", hosts.size(), sha256_hex(text).substr(0, 16));
}

// A cache that can not be read or written only costs time.
std::optional<comm::Costs> load(const Path& file) {
  std::error_code error;
  if (cache_folder().empty() || !std::filesystem::exists(file, error)) return std::nullopt;
  try {
    return comm::costs_from_text(read_file(file));
  } catch (const Error&) { return std::nullopt; }
}

void keep(const Path& file, const comm::Costs& costs) {
  if (cache_folder().empty()) return;
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  try {
    write_file_atomic(file, comm::to_text(costs));
  } catch (const Error&) { return; }
}

// Two ranks have nothing to choose between.
bool decides(const comm::Choice& choice, int ranks) { return choice.wanted == comm::Algorithm::automatic && ranks > 2; }

comm::Choice wanted(const config::Comm& config) { return {.wanted = *comm::algorithm_from_name(config.algorithm)}; }

}  // namespace

void choose_algorithms(Wire& wire, const config::Comm& config) {
  comm::Choice choice = wanted(config);
  if (decides(choice, wire.comm().size())) {
    const Path file = file_of(wire.gather("comm.hosts", host_name()));
    const std::optional<comm::Costs> mine = wire.is_root() ? load(file) : std::nullopt;
    std::optional<comm::Costs> kept =
        comm::costs_from_text(wire.gather("comm.costs", mine ? comm::to_text(*mine) : "").front());
    if (!kept) {
      kept = comm::measure_costs(wire.comm());
      wire.add(comm::costs_sent({.rank = wire.comm().rank(),
                                 .size = wire.comm().size(),
                                 .segment_bytes = wire.comm().options().segment_bytes,
                                 .choice = wire.comm().choice()}));
      if (wire.is_root()) keep(file, *kept);
    }
    choice.costs = *kept;
  }
  wire.comm().choose(choice);
}

comm::Choice known_choice(const config::Comm& config, int ranks) {
  comm::Choice choice = wanted(config);
  if (decides(choice, ranks))
    choice.costs =
        load(file_of(std::vector<std::string>(static_cast<size_t>(ranks), host_name()))).value_or(choice.costs);
  return choice;
}

std::vector<PlannedCollective> collectives_of(const ir::Graph& graph, const exec::Team& team) {
  std::vector<PlannedCollective> found;
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      if (node.op->traits.role != ir::Role::collective || node.inputs.empty()) continue;
      found.push_back({graph.name(), ir::bucket_offsets(graph, node).back(), exec::how(graph, node, team)});
    }
  }
  return found;
}

}  // namespace ringmaster::train
