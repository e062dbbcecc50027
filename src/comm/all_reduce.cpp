// SPDX-License-Identifier: Apache-2.0
// all_reduce: every rank ends with the sum (or maximum) of all, the same bits everywhere.
//   A reduce_scatter that runs on into an all_gather without a bubble between: 2(P-1) steps, 2(P-1)/P of the vector sent by
//   each rank, exactly when P divides it. Order of addition: collective.h.
#include "comm/collective.h"

namespace ringmaster::comm {

Schedule all_reduce_schedule(int rank, int size) {
  return {.operation = Operation::all_reduce,
          .chunks = size,
          .first = rank - 1,
          .lead = 1,
          .sends = 2 * (size - 1),
          .receives = 2 * (size - 1),
          .reduced = size - 1};
}

void start_all_reduce(Collective& collective, const Vector& vector, Reduce reduce) {
  const Members who = collective.comm().members(vector.group);
  collective.start(all_reduce_schedule(who.index(), who.size()), vector, reduce);
}

void all_reduce(Communicator& comm, const Vector& vector, Reduce reduce) {
  Collective collective(comm);
  start_all_reduce(collective, vector, reduce);
  collective.wait();
}

Sent all_reduce_sent(const RingShape& shape) { return sent(all_reduce_schedule(shape.rank, shape.size), shape); }

}  // namespace ringmaster::comm
