// SPDX-License-Identifier: Apache-2.0
// ring: every rank sends to the next one and receives from the one before. The vector is cut into `chunks`; send s carries chunk
// first - s (mod chunks), receive s brings the chunk of send s + lead. A segment is sent on as soon as it has been received (and
// added): no step waits for a whole chunk.   Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
// workstations"
//
//   P ranks, r this one     chunks  first   lead  sends    receives  of these reduced   bytes sent of N
//   reduce_scatter          P       r - 1   1     P - 1    P - 1     P - 1              (P - 1)/P N
//   all_gather              P       r       1     P - 1    P - 1     0                  (P - 1)/P N
//   all_reduce              P       r - 1   1     2P - 2   2P - 2    P - 1              2 (P - 1)/P N
//   broadcast, root         1       0       1     1        0         0                  N
//   broadcast, between      1       0       0     1        1         0                  N
//   broadcast, last         1       0       0     0        1         0                  0
//
// Bytes are exact where P divides the elements. Order of addition: the sum of chunk c starts at rank c + 1 and goes round:
// ((x[c+1] + x[c+2]) + ...) + x[c], indices mod P. It depends on P and c alone and is computed once: one result, on every rank.
#include "comm/schedule.h"

namespace ringmaster::comm {
namespace {

struct Pass {
  int chunks = 1, first = 0, lead = 0, sends = 0, receives = 0, reduced = 0;
};

Pass pass_of(const Call& call) {
  const int r = call.index, P = call.size;
  switch (call.operation) {
    case Operation::reduce_scatter: return {P, r - 1, 1, P - 1, P - 1, P - 1};
    case Operation::all_gather: return {P, r, 1, P - 1, P - 1, 0};
    case Operation::all_reduce: return {P, r - 1, 1, 2 * (P - 1), 2 * (P - 1), P - 1};
    default: break;
  }
  const int hop = (r - call.root + P) % P;
  return {1, 0, hop == 0 ? 1 : 0, hop < P - 1 ? 1 : 0, hop > 0 ? 1 : 0, 0};
}

enum : int { receiving, sending };

Flow flow(const Call& call, int number) {
  const Pass pass = pass_of(call);
  const int P = call.size;
  if (number == receiving) return {.peer = (call.index + P - 1) % P, .transfers = pass.receives};
  return {.peer = (call.index + 1) % P, .sends = true, .transfers = pass.sends};
}

Transfer transfer(const Call& call, int flow, int number) {
  const Pass pass = pass_of(call);
  const int step = flow == sending ? number : number + pass.lead;  // of the sends
  const int chunk = ((pass.first - step) % pass.chunks + pass.chunks) % pass.chunks;
  Transfer made{.range = chunk_of(call.elements, chunk, pass.chunks)};
  if (flow == sending) {
    if (number >= pass.lead) made.after[0] = {receiving, number - pass.lead, false};
    return made;
  }
  made.reduced = number < pass.reduced;
  // In all_reduce a chunk's sum arrives where its partial sum was sent from, P - 1 steps earlier. The sum itself proves that the
  // partial sum has arrived, but MPI wants the send completed before its buffer is posted again.
  if (!made.reduced && step >= pass.chunks) made.after[0] = {sending, step - pass.chunks, false};
  return made;
}

}  // namespace

constinit const Schedule ring_schedule{
    .flows = [](const Call&) { return 2; },
    .flow = flow,
    .transfer = transfer,
    .banks = 1,
    .longest = [](const Call& call) { return ceil_div(call.elements, call.size); },
};

}  // namespace ringmaster::comm
