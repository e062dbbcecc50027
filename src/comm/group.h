// SPDX-License-Identifier: Apache-2.0
// group: where a rank is, and which ranks take part in a collective. A cluster has two levels and so two kinds of groups: the ranks
// of a node, and across nodes the lane of a rank.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ringmaster::comm {

struct Place {
  int rank = 0, size = 1;            // in the job
  int node_rank = 0, node_size = 1;  // among the ranks of this node
  std::vector<int> node = {0};       // these, by node rank: ranks of the job
  std::vector<int> lane = {0};       // the ranks with this node rank, by node; empty where nodes are not of one size
};
// node_of[r] is one number for all ranks of r's node and another one for all others. Nodes are ordered by their lowest rank.
Place place_among(int rank, std::span<const int> node_of);

// Some ranks of the job, this one among them. They, and nobody else, start the collectives of the group, all in the same order;
// collectives of other groups may come between in any order. Two groups that share two ranks have different numbers; those that
// share none, as the lanes of a job, may have the same.
inline constexpr int most_groups = 8;
struct Group {
  int number = 0;          // below most_groups; 0 is all ranks of the job
  std::vector<int> ranks;  // of the job, in the order of the group; empty: all
  int index = 0;           // of this rank in `ranks`
};
Group make_group(int number, std::vector<int> ranks, int rank);  // number 1 or more

// A group as a collective sees it: indices from 0 to size() - 1, and who each is in the job. Does not outlive the group.
class Members {
 public:
  Members() = default;
  Members(const Group* group, int rank, int size);  // all ranks of the job where it is null or empty
  int index() const { return index_; }
  int size() const { return size_; }
  int number() const { return number_; }
  int rank_at(int index) const { return ranks_.empty() ? index : ranks_[static_cast<size_t>(index)]; }
  uint64_t hash() const;  // of the ranks; 0 where they are all ranks of the job

 private:
  int index_ = 0, size_ = 1, number_ = 0;
  std::span<const int> ranks_;
};

}  // namespace ringmaster::comm
