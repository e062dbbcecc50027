// SPDX-License-Identifier: Apache-2.0
// collective: the one engine behind every collective: a pipelined pass over a ring, described by a Schedule of numbers.
//
// Rank r sends to the next rank and receives from the previous one. The vector is cut into `chunks`; send step s carries chunk
// first - s (mod chunks), receive step s brings the chunk of send step s + lead. A chunk travels in segments, each one message,
// and a segment is sent on as soon as it has been received (and added): no step waits for a whole chunk.
//
//   P ranks, r this one     chunks  first   lead  sends    receives  of these reduced
//   reduce_scatter          P       r - 1   1     P - 1    P - 1     P - 1
//   all_gather              P       r       1     P - 1    P - 1     0
//   all_reduce              P       r - 1   1     2P - 2   2P - 2    P - 1
//   broadcast, root         1       0       1     1        0         0
//   broadcast, between      1       0       0     1        1         0
//   broadcast, last         1       0       0     0        1         0
//
// Order of addition: the sum of chunk c starts at rank c + 1 and goes round: ((x[c+1] + x[c+2]) + ...) + x[c], indices mod P.
// It depends on P and c alone and is computed once, so every rank holds the same bits.
#pragma once
#include "comm/in_flight.h"

#include <array>
#include <string>
#include <vector>

namespace ringmaster::comm {

struct Schedule {
  Operation operation = Operation::message;
  int chunks = 1;
  int first = 0;
  int lead = 0;
  int sends = 0;
  int receives = 0;
  int reduced = 0;
  int root = 0;  // broadcast; ranks must agree on it
};
Schedule reduce_scatter_schedule(int rank, int size);
Schedule all_gather_schedule(int rank, int size);
Schedule all_reduce_schedule(int rank, int size);
Schedule broadcast_schedule(int rank, int size, int root);
Sent sent(const Schedule& schedule, const RingShape& shape);

// What one rank calls, sent to the next rank ahead of its payload and compared there.
struct Header {
  uint64_t sequence = 0;
  int64_t elements = 0;
  int64_t segment_bytes = 0;
  uint64_t name_hash = 0;   // FNV-1a of the whole name
  uint64_t ranks_hash = 0;  // of the group
  Operation operation = Operation::message;
  DType dtype = DType::f32;
  Reduce reduce = Reduce::sum;
  uint8_t unused = 0;
  int32_t root = 0;
  int32_t group = 0, ranks = 0;  // its number and how many
  std::array<char, 56> name{};   // its end, for the error; zero padded
};
static_assert(sizeof(Header) == 112);  // no padding: headers are compared byte by byte
Header make_header(std::string_view name, const Members& members = {});
void check_same_call(const Header& mine, int my_rank, const Header& theirs, int their_rank);  // throws kind rank

inline constexpr int depth = 4;  // segments in flight each way: enough to hide a hop's latency at 256 KiB

class Collective final : public InFlight {
 public:
  explicit Collective(Communicator& comm);
  ~Collective() override;  // gives up what is in flight

  bool progress() override;
  Waiting waiting() const override;

  // For the start_* functions. Not while in flight.
  void start(const Schedule& schedule, const Vector& vector, Reduce reduce);

 private:
  // A walk over (step, segment) in the order of the wire.
  struct Cursor {
    int step = 0;
    int64_t segment = 0;
    int64_t index = 0;  // messages passed
  };

  // Chunks and segments by the send step that carries them; a receive step s has those of send step s + lead.
  Chunk segment_at(int send_step, int64_t segment) const;
  bool settle(Cursor& cursor, int steps, int lead) const;  // skips empty chunks; false at the end
  bool overwrites_unsent() const;                          // the next receive lands where a send may still read
  Bytes slot(int64_t index) const;
  Bytes bytes_of(Chunk range) const;

  bool exchange_headers();
  bool post_receives();
  bool take_receives();
  bool post_sends();
  bool retire_sends();

  Schedule schedule_;
  Vector vector_;
  std::string name_;
  Reduce reduce_ = Reduce::sum;
  int64_t element_bytes_ = 4;
  int64_t segment_elements_ = 1;
  int64_t free_messages_ = 0;  // sends that need no receive first
  bool agreed_ = false;        // the previous rank's header matches ours

  Members members_;
  int next_ = 0, previous_ = 0;  // ranks of the job
  Tag tag_;

  Header header_out_, header_in_;
  Request header_send_, header_recv_;
  std::vector<std::byte> own_scratch_;
  Bytes scratch_;
  int64_t slot_bytes_ = 0;
  std::array<Request, depth> sends_, receives_;  // slot = message index % depth
  Cursor posted_, taken_, sending_;              // receives posted, receives taken, sends posted
  int64_t sent_ = 0;                             // sends complete
  int64_t bytes_in_ = 0, bytes_out_ = 0;
  std::chrono::steady_clock::time_point moved_{};  // when the last byte moved
};

}  // namespace ringmaster::comm
