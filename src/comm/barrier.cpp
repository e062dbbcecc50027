// SPDX-License-Identifier: Apache-2.0
// barrier: nobody leaves before everybody has entered.   Dissemination: Hensgen, Finkel, Manber 1988
//   ceil(log2 P) steps; in step k rank r tells rank r + 2^k and hears from rank r - 2^k. Payload 0, one header a step.
#include "comm/header.h"
#include "comm/pending.h"

namespace ringmaster::comm {

void barrier(Communicator& comm, std::string_view name, const Group* group) {
  const Members members = comm.members(group);
  Header mine = make_header(name, members);
  mine.operation = Operation::barrier;
  mine.sequence = comm.next_sequence(members.number());
  const Tag tag{Lane::header, mine.sequence, members.number()};
  const int rank = comm.rank(), index = members.index(), size = members.size();
  for (int distance = 1; distance < size; distance *= 2) {
    const int to = members.rank_at((index + distance) % size);
    const int from = members.rank_at((index - distance + size) % size);
    Waiting what{.operation = Operation::barrier, .name = std::string(name), .sequence = mine.sequence, .rank = rank};
    what.bytes_total = sizeof(Header);
    Header theirs;
    Pending in(comm, comm.start_recv(std::as_writable_bytes(std::span(&theirs, 1)), from, tag));
    Pending out(comm, comm.start_send(std::as_bytes(std::span(&mine, 1)), to, tag));
    what.peer = from;
    in.wait(what);
    check_same_call(mine, rank, theirs, from);
    what.peer = to;
    out.wait(what);
  }
}

}  // namespace ringmaster::comm
