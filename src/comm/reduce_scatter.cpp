// SPDX-License-Identifier: Apache-2.0
// reduce_scatter: rank r ends with the sum (or maximum) of chunk r; its other chunks hold partial sums.
//   Ring, pipelined in segments: P - 1 steps, each rank sends every chunk but its own once: (P-1)/P of the vector, exactly when
//   P divides it. Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations"
#include "comm/collective.h"

namespace ringmaster::comm {

Schedule reduce_scatter_schedule(int rank, int size) {
  return {.operation = Operation::reduce_scatter,
          .chunks = size,
          .first = rank - 1,
          .lead = 1,
          .sends = size - 1,
          .receives = size - 1,
          .reduced = size - 1};
}

void start_reduce_scatter(Collective& collective, const Vector& vector, Reduce reduce) {
  const Members who = collective.comm().members(vector.group);
  collective.start(reduce_scatter_schedule(who.index(), who.size()), vector, reduce);
}

void reduce_scatter(Communicator& comm, const Vector& vector, Reduce reduce) {
  Collective collective(comm);
  start_reduce_scatter(collective, vector, reduce);
  collective.wait();
}

Sent reduce_scatter_sent(const RingShape& shape) {
  return sent(reduce_scatter_schedule(shape.rank, shape.size), shape);
}

}  // namespace ringmaster::comm
