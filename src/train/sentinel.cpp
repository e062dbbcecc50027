// SPDX-License-Identifier: Apache-2.0
#include "train/sentinel.h"

#include "checkpoint/manifest.h"

#include <algorithm>

namespace ringmaster::train {
namespace {

// What a rank tells of a tensor: its place among the states of the program, and a hash of what it wrote of it.
constexpr size_t place_digits = 6, hash_digits = 16, digits = place_digits + hash_digits;

struct Entry {
  size_t place;
  std::string hash;
};
Entry entry_at(const std::string& text, size_t index) {
  return {std::stoul(text.substr(index * digits, place_digits), nullptr, 16),
          text.substr(index * digits + place_digits, hash_digits)};
}

// Of the state at a place; without a hash if it is not there.
Entry entry_of(const std::string& text, size_t place) {
  for (size_t i = 0; i * digits < text.size(); ++i)
    if (Entry entry = entry_at(text, i); entry.place == place) return entry;
  return {place, ""};
}

}  // namespace

Sentinel::Sentinel(const Session& session, Wire& wire, std::span<const PhaseRun> phases, int64_t interval)
    : wire_(wire), team_(session.programs().team), interval_(interval) {
  if (interval == 0) return;
  for (const PhaseRun& phase : phases) {
    Watched& watched = watched_.emplace_back(Watched{.phase = &phase, .written = {}});
    const ir::Graph& graph = phase.program().graph();
    for (const ir::Region& region : graph.regions()) {
      for (const ir::NodeId id : region.nodes) {
        const ir::Node& node = graph.node(id);
        if (node.op->traits.role != ir::Role::state_write) continue;
        const ir::Type& type = graph.type(node.inputs[0]);
        const int64_t begin = std::max<int64_t>(0, node.attrs.integer("begin")) * size_of(type.dtype);
        const auto* memory = static_cast<const std::byte*>(session.state(node.attrs.text("name"))) + begin;
        watched.written.push_back(
            {graph.find_state(node.attrs.text("name")), {memory, static_cast<size_t>(type.bytes())}});
      }
    }
  }
  for (Watched& watched : watched_) watched.phase->program().before_update([this, &watched] { check(watched); });
}

void Sentinel::check(Watched& watched) const {
  if (!watched.hashed) return;
  for (const Written& w : watched.written) {
    if (checkpoint::xxh3_128(w.bytes) == w.hash) continue;
    throw Error(
        {.kind = ErrorKind::rank,
         .message = fmt::format("bits of {} have changed on rank {} since it wrote them", w.state->name, team_.rank),
         .found = "another hash than behind the last update",
         .expected = "the bits that were written",
         .cure = "start again from the last checkpoint; if it happens again, test the memory of this machine"});
  }
  watched.hashed = false;  // a run that is not committed writes grids and scales, and comes again
}

void Sentinel::committed(const PhaseRun& phase, int64_t step) {
  if (interval_ == 0) return;
  Watched& watched = *std::ranges::find(watched_, &phase, &Watched::phase);
  watched.hashed = (step + 1) % interval_ == 0;
  if (!watched.hashed) return;
  for (Written& w : watched.written) w.hash = checkpoint::xxh3_128(w.bytes);
  if (team_.size > 1) compare(watched);
}

// Ranks of one place in their nodes hold the same parts; without shared memory every rank holds all. A control all ranks work out alike.
// A few kilobytes a rank for a hundred layers.
void Sentinel::compare(const Watched& watched) const {
  const auto& states = watched.phase->program().graph().states();
  std::string mine;
  for (const Written& w : watched.written)
    mine += fmt::format("{:0{}x}{:0{}x}", w.state - states.data(), place_digits, w.hash[0] ^ w.hash[1], hash_digits);
  const std::vector<std::string> places = wire_.gather("verify.place", std::to_string(team_.node_rank));
  const std::vector<std::string> all = wire_.gather("verify", mine);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const auto twin = static_cast<size_t>(std::ranges::find(places, places[rank]) - places.begin());
    for (size_t i = 0; i * digits < all[rank].size(); ++i) {
      const Entry found = entry_at(all[rank], i);
      const size_t other = states[found.place].role == ir::StateRole::control ? 0 : twin;
      const Entry expected = entry_of(all[other], found.place);
      if (found.hash == expected.hash) continue;
      throw AgreedError(
          {.kind = ErrorKind::rank,
           .message = fmt::format("ranks {} and {} hold other bits of {}", other, rank, states[found.place].name),
           .found = fmt::format("hash {} on rank {}", found.hash, rank),
           .expected = fmt::format("{}, as on rank {}", expected.hash, other),
           .cure = "start again from the last checkpoint; if it happens again, test the machines of both ranks"});
    }
  }
}

}  // namespace ringmaster::train
