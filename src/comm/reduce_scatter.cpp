// SPDX-License-Identifier: Apache-2.0
// reduce_scatter: rank r ends with the sum (or maximum) of chunk r; its other chunks hold partial sums. By ring or halving.
#include "comm/collective.h"

namespace ringmaster::comm {

void start_reduce_scatter(Collective& collective, const Vector& vector, Reduce reduce) {
  collective.start(Operation::reduce_scatter, vector, reduce);
}

void reduce_scatter(Communicator& comm, const Vector& vector, Reduce reduce) {
  Collective collective(comm);
  start_reduce_scatter(collective, vector, reduce);
  collective.wait();
}

Sent reduce_scatter_sent(const RingShape& shape) { return sent(Operation::reduce_scatter, shape); }

}  // namespace ringmaster::comm
