// SPDX-License-Identifier: Apache-2.0
// halving and doubling: ceil(log2 P) rounds for any number of ranks P, over a circulant graph. No rank sits out a first or last round,
// as the ranks beyond a power of two do in the classic form.   Traff 2024, "Optimal, Non-pipelined Reduce-scatter and Allreduce
// Algorithms", arXiv:2410.14234, algorithms 1 and 2
//
// Chunk i of rank r, counted from its own, is chunk r + i (mod P). Before a round of reduce_scatter a rank still holds partial sums
// of its chunks 0 to high - 1; low = ceil(high / 2). It sends the chunks low to high - 1 to rank r + low, whose chunks 0 to
// high - low - 1 they are, and adds what rank r - low sends to its own. all_gather is the same backwards: each message goes the other
// way, in the reverse order.
//
//   P ranks          rounds           bytes sent of N
//   reduce_scatter   ceil(log2 P)     (P - 1)/P N           the chunks of each rank but its own, once
//   all_gather       ceil(log2 P)     (P - 1)/P N           exactly where P divides the elements
//   all_reduce       2 ceil(log2 P)   2 (P - 1)/P N
//
// A round begins when the one before it has ended: nothing is pipelined across rounds. Order of addition: that of the rounds; it
// depends on P and the chunk alone.
#include "comm/schedule.h"

#include <algorithm>

namespace ringmaster::comm {
namespace {

struct Round {
  int low = 0, high = 0;
};

int rounds_of(int size) {
  int rounds = 0;
  for (int high = size; high > 1; high = (high + 1) / 2) ++rounds;
  return rounds;
}

Round round_of(int size, int number) {
  int high = size;
  for (int i = 0; i < number; ++i) high = (high + 1) / 2;
  return {(high + 1) / 2, high};
}

// Flows go in pairs of (receive, send), a pair a round: first the rounds of reduce_scatter, then those of all_gather.
struct Step {
  Round round;
  int number = 0;  // of the round within its half
  bool gathers = false, sends = false;
};

bool gathers_alone(const Call& call) { return call.operation == Operation::all_gather; }

Step step_of(const Call& call, int flow) {
  const int rounds = rounds_of(call.size), pair = flow / 2;
  const bool gathers = gathers_alone(call) || pair >= rounds;
  const int number = gathers && !gathers_alone(call) ? pair - rounds : pair;
  return {round_of(call.size, gathers ? rounds - 1 - number : number), number, gathers, flow % 2 == 1};
}

// The last round of a reduce_scatter is one of neighbours, who greet each other in it; an all_gather goes the other way.
int flows(const Call& call) {
  return (call.operation == Operation::all_reduce ? 4 : 2) * rounds_of(call.size) + (gathers_alone(call) ? 2 : 0);
}

Flow flow(const Call& call, int number) {
  if (gathers_alone(call) && number >= 2 * rounds_of(call.size)) return greeting(call, number % 2 == 1);
  const Step step = step_of(call, number);
  const bool up = step.sends != step.gathers;  // towards rank r + low
  return {.peer = (call.index + (up ? step.round.low : call.size - step.round.low)) % call.size,
          .sends = step.sends,
          .transfers = 2,  // before and behind the end of the vector, where the chunks begin anew
          .header = !step.gathers || gathers_alone(call),
          .stream = step.gathers ? 1 : 0};
}

// The part of the chunks [begin, end), counted from this rank's own, that lies before or behind the end of the vector.
Chunk part_of(const Call& call, int begin, int end, bool behind) {
  const int first = (call.index + begin) % call.size, last = first + end - begin;
  const int from = behind ? 0 : first, to = behind ? std::max(0, last - call.size) : std::min(call.size, last);
  if (from == to) return {};
  return {chunk_of(call.elements, from, call.size).begin, chunk_of(call.elements, to - 1, call.size).end};
}

Transfer transfer(const Call& call, int flow, int number) {
  const Step step = step_of(call, flow);
  const auto [low, high] = step.round;
  const bool own = step.sends == step.gathers;  // chunks from 0 on: added to, or handed on
  Transfer made{.range = own ? part_of(call, 0, high - low, number == 1) : part_of(call, low, high, number == 1),
                .reduced = !step.gathers && !step.sends};
  const int earlier = flow - flow % 2 - 2;  // what the round before has received
  if (earlier >= 0) made.after[0] = {earlier, 1};
  // The sums arrive where the partial sums were sent from, in the round of the same two ranks.
  if (step.gathers && !step.sends && !gathers_alone(call))
    made.after[1] = {2 * (rounds_of(call.size) - 1 - step.number) + 1, 1};
  return made;
}

int64_t longest(const Call& call) {
  return std::min(call.elements, (call.size / 2) * ceil_div(call.elements, call.size));
}

}  // namespace

constinit const Schedule halving_schedule{
    .flows = flows,
    .flow = flow,
    .transfer = transfer,
    .banks = 1,
    .longest = longest,
};

}  // namespace ringmaster::comm
