// SPDX-License-Identifier: Apache-2.0
// collective: the one engine behind every collective: it carries out a Schedule (schedule.h), in messages of at most a segment, with
// up to `depth` of each flow in flight.
#pragma once
#include "comm/header.h"
#include "comm/in_flight.h"
#include "comm/schedule.h"

#include <array>
#include <string>
#include <vector>

namespace ringmaster::comm {

class Collective final : public InFlight {
 public:
  explicit Collective(Communicator& comm);
  ~Collective() override;  // gives up what is in flight

  bool progress() override;
  Waiting waiting() const override;

  // For the start_* functions. Not while in flight.
  void start(Operation operation, const Vector& vector, Reduce reduce = Reduce::sum, int root = 0);

 private:
  // Where a flow is, in the order of the wire, and the transfer there.
  struct Cursor {
    int number = 0;       // of the transfer
    int64_t segment = 0;  // of its messages
    int64_t passed = 0;   // messages in all
    Transfer transfer;
  };
  struct State {
    Flow flow;
    int peer = 0;       // rank of the job
    bool open = false;  // headers are equal, or need not be compared
    Request header;
    Header theirs;
    std::array<Request, depth> requests;  // by message % depth
    Cursor posted, taken;                 // the next message to post; the oldest one in flight
    int64_t bytes = 0;                    // taken
  };

  void fill_header(const Vector& vector, Reduce reduce, int root);
  void take_scratch(const Vector& vector);
  void open_flows();
  void turn(int flow, Cursor& cursor, int number) const;  // to a transfer
  int64_t messages_of(const Transfer& transfer) const { return ceil_div(transfer.range.size(), segment_elements_); }
  bool may_post(const Cursor& next) const;  // all that it comes after is taken
  Bytes bytes_of(const Cursor& cursor) const;
  Bytes slot(const State& state, const Cursor& cursor) const;  // where a reduced message is received

  bool compare_headers(State& state);
  bool take(int flow);
  bool post(int flow);
  bool finished(State& state);

  Vector vector_;
  std::string name_;
  Reduce reduce_ = Reduce::sum;
  Algorithm algorithm_ = Algorithm::ring;
  const Schedule* schedule_ = &ring_schedule;
  Call call_;
  Members members_;
  Header header_;
  int64_t element_bytes_ = 4;
  int64_t segment_elements_ = 1;
  std::vector<std::byte> own_scratch_;
  Bytes scratch_;
  int64_t slot_bytes_ = 0;
  std::vector<State> flows_;
  std::chrono::steady_clock::time_point moved_{};  // when the last byte moved
};

}  // namespace ringmaster::comm
