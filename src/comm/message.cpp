// SPDX-License-Identifier: Apache-2.0
// message: blocking point to point. 1 step, the bytes once on the wire.
#include "comm/comm.h"
#include "comm/pending.h"

namespace ringmaster::comm {

namespace {

Waiting waiting_for(const Communicator& comm, int peer, uint64_t tag, size_t bytes) {
  return {.operation = Operation::message,
          .name = fmt::format("tag {}", tag),
          .rank = comm.rank(),
          .peer = peer,
          .bytes_total = static_cast<int64_t>(bytes)};
}

}  // namespace

void send(Communicator& comm, ConstBytes bytes, int peer, uint64_t tag) {
  Pending pending(comm, comm.start_send(bytes, peer, {Lane::message, tag}));
  pending.wait(waiting_for(comm, peer, tag, bytes.size()));
}

void recv(Communicator& comm, Bytes bytes, int peer, uint64_t tag) {
  Pending pending(comm, comm.start_recv(bytes, peer, {Lane::message, tag}));
  pending.wait(waiting_for(comm, peer, tag, bytes.size()));
}

}  // namespace ringmaster::comm
