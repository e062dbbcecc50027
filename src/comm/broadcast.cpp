// SPDX-License-Identifier: Apache-2.0
// broadcast: all ranks end with the root's vector.
//   A chain root -> root + 1 -> ... pipelined in segments: P - 1 hops, the vector once on each; the last rank sends nothing.
//   Best for long vectors; a short one costs P - 1 latencies.
#include "comm/collective.h"

namespace ringmaster::comm {

Schedule broadcast_schedule(int rank, int size, int root) {
  CHECK(root >= 0 && root < size, "root {} of {} ranks", root, size);
  const int hop = (rank - root + size) % size;
  return {.operation = Operation::broadcast,
          .lead = hop == 0 ? 1 : 0,
          .sends = hop < size - 1 ? 1 : 0,
          .receives = hop > 0 ? 1 : 0,
          .root = root};
}

void start_broadcast(Collective& collective, const Vector& vector, int root) {
  const Members who = collective.comm().members(vector.group);
  collective.start(broadcast_schedule(who.index(), who.size(), root), vector, Reduce::sum);
}

void broadcast(Communicator& comm, const Vector& vector, int root) {
  Collective collective(comm);
  start_broadcast(collective, vector, root);
  collective.wait();
}

}  // namespace ringmaster::comm
