// SPDX-License-Identifier: Apache-2.0
#include "comm/group.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace ringmaster::comm {

Place place_among(int rank, std::span<const int> node_of) {
  Place place{.rank = rank, .size = static_cast<int>(node_of.size()), .node = {}, .lane = {}};
  CHECK(rank >= 0 && rank < place.size, "rank {} of {}", rank, place.size);
  std::map<int, size_t> position;       // in `nodes`
  std::vector<std::vector<int>> nodes;  // ranks, by node
  for (int r = 0; r < place.size; ++r) {
    const auto [at, is_new] = position.try_emplace(node_of[static_cast<size_t>(r)], nodes.size());
    if (is_new) nodes.emplace_back();
    nodes[at->second].push_back(r);
  }
  place.node = nodes[position.at(node_of[static_cast<size_t>(rank)])];
  place.node_size = static_cast<int>(place.node.size());
  place.node_rank = static_cast<int>(std::ranges::find(place.node, rank) - place.node.begin());
  const bool even = std::ranges::all_of(nodes, [&](const auto& node) { return node.size() == place.node.size(); });
  for (const auto& node : nodes)
    if (even) place.lane.push_back(node[static_cast<size_t>(place.node_rank)]);
  return place;
}

Group make_group(int number, std::vector<int> ranks, int rank) {
  CHECK(number >= 1 && number < most_groups, "group {}, expected 1 to {}", number, most_groups - 1);
  const auto at = std::ranges::find(ranks, rank);
  CHECK(at != ranks.end(), "rank {} is not in group {} of {} ranks", rank, number, ranks.size());
  const auto index = static_cast<int>(at - ranks.begin());
  return {number, std::move(ranks), index};
}

Members::Members(const Group* group, int rank, int size) : index_(rank), size_(size) {
  if (group == nullptr || group->ranks.empty()) return;
  index_ = group->index;
  size_ = static_cast<int>(group->ranks.size());
  number_ = group->number;
  ranks_ = group->ranks;
  CHECK(number_ >= 1 && number_ < most_groups, "group {}, expected 1 to {}", number_, most_groups - 1);
  CHECK(index_ >= 0 && index_ < size_ && rank_at(index_) == rank, "rank {} is not member {} of group {}", rank, index_,
        number_);
}

uint64_t Members::hash() const {
  uint64_t hash = ranks_.empty() ? 0 : 0xcbf29ce484222325U;  // FNV-1a over ranks
  for (const int rank : ranks_) hash = (hash ^ static_cast<uint64_t>(rank)) * 0x100000001b3U;
  return hash;
}

}  // namespace ringmaster::comm
