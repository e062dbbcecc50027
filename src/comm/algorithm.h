// SPDX-License-Identifier: Apache-2.0
// algorithm: what collectives there are, how each can be done, how long that takes by a model of three numbers, and which is chosen.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ringmaster::comm {

inline constexpr int64_t usual_segment_bytes = 262144;  // the largest message of a collective

enum class Operation : uint8_t { message, barrier, reduce_scatter, all_gather, all_reduce, broadcast };
const char* name(Operation operation);

// Each in a file of its own: ring.cpp, halving_doubling.cpp, tree.cpp. automatic: as the Choice says.
enum class Algorithm : uint8_t { automatic, ring, halving, tree };
inline constexpr std::array<Algorithm, 3> algorithms = {Algorithm::ring, Algorithm::halving, Algorithm::tree};
const char* name(Algorithm algorithm);  // "auto", "ring", "halving", "tree"
std::optional<Algorithm> algorithm_from_name(std::string_view name);
bool can(Algorithm algorithm,
         Operation operation);  // ring: all; halving: not broadcast; tree: all_reduce and broadcast

// alpha: seconds a step, whatever it carries; beta: seconds a byte that a rank sends; gamma: seconds a byte that it adds.
// Alpha and beta are of each algorithm, for a pipeline hides what another one waits for.
struct Link {
  double alpha = 2e-6, beta = 3e-10;  // two ranks of one machine
  bool operator==(const Link&) const = default;
};
struct Costs {
  std::array<Link, algorithms.size()> of{};  // by position in `algorithms`
  double gamma = 1e-10;
  bool operator==(const Costs&) const = default;
};

struct Load {
  Operation operation = Operation::all_reduce;
  int64_t bytes = 0;  // of the whole vector
  int size = 1;       // ranks
  int64_t segment_bytes = usual_segment_bytes;
};
// What a rank does in the longest chain of steps. T = steps alpha + sent beta + added gamma.
struct Terms {
  double steps = 0, sent = 0, added = 0;  // bytes
};
Terms terms_of(Algorithm algorithm, const Load& load);  // docs/comm-costs.md
double seconds(const Costs& costs, Algorithm algorithm, const Load& load);

// By which algorithm a collective is done that does not say so itself: the same on every rank.
struct Choice {
  Algorithm wanted = Algorithm::ring;  // for every operation that it can do; the others go by ring
  Costs costs{};                       // which decide where automatic is wanted
  Algorithm of(const Load& load) const;
};

}  // namespace ringmaster::comm
