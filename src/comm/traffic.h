// SPDX-License-Identifier: Apache-2.0
// traffic: what a rank sends, counted and foretold.
#pragma once
#include "comm/algorithm.h"

#include <cstdint>

namespace ringmaster::comm {

struct Sent {
  int64_t bytes = 0, messages = 0;
  bool operator==(const Sent&) const = default;
};
struct Traffic {
  Sent payload;      // of collectives: exactly what the *_sent functions below predict
  int64_t read = 0;  // bytes of peers' memory that collectives of a node read (node.h)
  Sent headers;      // the agreement check of each collective
  Sent messages;     // point to point
};

// What `rank` will put on the wire, to the byte and the message; the plan prints it and tests count it. Of a group, rank and size
// are those within it.
struct RingShape {
  int64_t elements = 0, element_bytes = 4;
  int rank = 0, size = 1;
  int64_t segment_bytes = usual_segment_bytes;
  Choice choice = {};
};
Sent reduce_scatter_sent(const RingShape& shape);
Sent all_gather_sent(const RingShape& shape);
Sent all_reduce_sent(const RingShape& shape);
Sent broadcast_sent(const RingShape& shape, int root = 0);
int64_t scratch_bytes(const RingShape& shape, Operation operation = Operation::all_reduce);

}  // namespace ringmaster::comm
