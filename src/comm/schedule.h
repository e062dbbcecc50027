// SPDX-License-Identifier: Apache-2.0
// schedule: what one rank sends and receives in a collective, as numbers alone. An algorithm is a Schedule and nothing else; one
// engine (collective.h) carries all of them out, and what they send is foretold by adding up the same numbers.
//
// A flow is a row of transfers between this rank and one other, one way. A transfer is a range of the vector that travels in
// messages of at most a segment, each waiting for what stands in `after`; where two transfers have one range, message by message,
// which is what makes a pipeline of them.
#pragma once
#include "comm/comm.h"

namespace ringmaster::comm {

struct Call {
  Operation operation = Operation::message;
  int index = 0, size = 1;  // of this rank in its group; size is 2 or more
  int root = 0;
  int64_t elements = 0;
};

struct Flow {
  int peer = -1;  // index in the group; -1: this rank has no such flow
  bool sends = false;
  int transfers = 0;
  bool header = true;  // headers are compared ahead. Without: another flow has compared the two ranks before
  int stream = 0;      // flows of a stream never have messages from one rank to one other at the same time
  int bank = 0;        // of scratch; flows that reduce share one if the later comes after the whole of the earlier
};

// In every collective each rank tells the next one what it calls, in a flow with transfers or in this one: so ranks that call
// different ones find out, though they have no other links in common.
inline Flow greeting(const Call& call, bool sends) {
  return {.peer = (call.index + (sends ? 1 : call.size - 1)) % call.size, .sends = sends};
}

struct After {
  int flow = -1;  // -1: nothing
  int transfer = 0;
  bool whole = true;  // false: only the message of it with the same elements, both transfers being of one range
};

struct Transfer {
  Chunk range;           // may be empty
  bool reduced = false;  // received into scratch, then added to the range
  std::array<After, 2> after{};
};

struct Schedule {
  int (*flows)(const Call&);
  Flow (*flow)(const Call&, int number);
  Transfer (*transfer)(const Call&, int flow, int number);
  int banks;                        // of scratch
  int64_t (*longest)(const Call&);  // no reduced transfer has more elements
};
extern const Schedule ring_schedule;     // ring.cpp
extern const Schedule halving_schedule;  // halving_doubling.cpp
extern const Schedule tree_schedule;     // tree.cpp

const Schedule& schedule_of(Algorithm algorithm, Operation operation);  // throws (usage) where it can not do that

inline constexpr int depth = 4;  // messages in flight a flow: enough to hide a hop's latency at 256 KiB

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t segment_elements(int64_t segment_bytes, int64_t element_bytes);  // at least 1
int64_t slot_bytes(const Schedule& schedule, const Call& call, int64_t segment, int64_t element_bytes);

Algorithm algorithm_of(Operation operation, const RingShape& shape);
Sent sent(Operation operation, const RingShape& shape, int root = 0);

}  // namespace ringmaster::comm
