// SPDX-License-Identifier: Apache-2.0
#include "comm/algorithm.h"

#include <algorithm>
#include <bit>

#include "core/error.h"

namespace ringmaster::comm {
namespace {

// What another algorithm must save before it takes the ring's place: measured times of one machine differ by as much.
constexpr double clearly = 0.8;

int log2_rounded_up(int size) { return std::bit_width(static_cast<unsigned>(size - 1)); }

}  // namespace

const char* name(Operation operation) {
  switch (operation) {
    case Operation::message: return "message";
    case Operation::barrier: return "barrier";
    case Operation::reduce_scatter: return "reduce_scatter";
    case Operation::all_gather: return "all_gather";
    case Operation::all_reduce: return "all_reduce";
    case Operation::broadcast: return "broadcast";
  }
  return "unknown";
}

const char* name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::automatic: return "auto";
    case Algorithm::ring: return "ring";
    case Algorithm::halving: return "halving";
    case Algorithm::tree: return "tree";
  }
  return "unknown";
}

std::optional<Algorithm> algorithm_from_name(std::string_view word) {
  for (const Algorithm one : {Algorithm::automatic, Algorithm::ring, Algorithm::halving, Algorithm::tree})
    if (word == name(one)) return one;
  return std::nullopt;
}

bool can(Algorithm algorithm, Operation operation) {
  if (algorithm == Algorithm::ring || operation == Operation::all_reduce) return true;
  return (algorithm == Algorithm::tree) == (operation == Operation::broadcast);
}

Terms terms_of(Algorithm algorithm, const Load& load) {
  CHECK(algorithm != Algorithm::automatic && can(algorithm, load.operation), "{} by {}", name(load.operation),
        name(algorithm));
  if (load.size == 1) return {};
  const double P = load.size, N = static_cast<double>(load.bytes), share = N * (P - 1) / P;
  const double log2 = log2_rounded_up(load.size);
  if (algorithm == Algorithm::tree) {
    const double first = std::min(static_cast<double>(load.segment_bytes), N / 2);  // message, which fills the pipeline
    if (load.operation == Operation::broadcast) return {log2, N + log2 * first, 0};
    return {2 * log2, 2 * N + 2 * log2 * first, N + log2 * first};
  }
  const double steps = algorithm == Algorithm::ring ? P - 1 : log2;
  switch (load.operation) {
    case Operation::reduce_scatter: return {steps, share, share};
    case Operation::all_gather: return {steps, share, 0};
    case Operation::all_reduce: return {2 * steps, 2 * share, share};
    default: return {steps, N + (P - 2) * std::min(static_cast<double>(load.segment_bytes), N), 0};
  }
}

double seconds(const Costs& costs, Algorithm algorithm, const Load& load) {
  const auto at = std::ranges::find(algorithms, algorithm) - algorithms.begin();
  const Link& link = costs.of[static_cast<size_t>(at)];
  const Terms terms = terms_of(algorithm, load);
  return terms.steps * link.alpha + terms.sent * link.beta + terms.added * costs.gamma;
}

Algorithm Choice::of(const Load& load) const {
  if (wanted != Algorithm::automatic) return can(wanted, load.operation) ? wanted : Algorithm::ring;
  if (load.size <= 2) return Algorithm::ring;  // two ranks have but one way to exchange
  Algorithm best = Algorithm::ring;
  for (const Algorithm other : algorithms) {
    const double margin = best == Algorithm::ring ? clearly : 1.0;
    if (can(other, load.operation) && seconds(costs, other, load) < margin * seconds(costs, best, load)) best = other;
  }
  return best;
}

}  // namespace ringmaster::comm
