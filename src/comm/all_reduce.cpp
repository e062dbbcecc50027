// SPDX-License-Identifier: Apache-2.0
// all_reduce: every rank ends with the sum (or maximum) of all, the same bits everywhere. By ring, halving or tree; the first two
//   are a reduce_scatter that runs on into an all_gather.
#include "comm/collective.h"

namespace ringmaster::comm {

void start_all_reduce(Collective& collective, const Vector& vector, Reduce reduce) {
  collective.start(Operation::all_reduce, vector, reduce);
}

void all_reduce(Communicator& comm, const Vector& vector, Reduce reduce) {
  Collective collective(comm);
  start_all_reduce(collective, vector, reduce);
  collective.wait();
}

Sent all_reduce_sent(const RingShape& shape) { return sent(Operation::all_reduce, shape); }

}  // namespace ringmaster::comm
