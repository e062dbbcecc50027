// SPDX-License-Identifier: Apache-2.0
// broadcast: all ranks end with the root's vector. By ring, which is a chain here (best for long vectors; a short one costs P - 1
//   latencies), or by tree.
#include "comm/collective.h"

namespace ringmaster::comm {

void start_broadcast(Collective& collective, const Vector& vector, int root) {
  collective.start(Operation::broadcast, vector, Reduce::sum, root);
}

void broadcast(Communicator& comm, const Vector& vector, int root) {
  Collective collective(comm);
  start_broadcast(collective, vector, root);
  collective.wait();
}

Sent broadcast_sent(const RingShape& shape, int root) { return sent(Operation::broadcast, shape, root); }

}  // namespace ringmaster::comm
