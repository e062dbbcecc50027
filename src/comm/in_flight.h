// SPDX-License-Identifier: Apache-2.0
// in_flight: what a rank has started and not yet finished, whatever moves its bytes. Any wait advances all of them.
#pragma once
#include "comm/comm.h"

namespace ringmaster::comm {

class InFlight {
 public:
  explicit InFlight(Communicator& comm) : comm_(comm) {}
  virtual ~InFlight() { leave(); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  Communicator& comm() const { return comm_; }
  bool done() const { return !active_; }
  void wait();                  // blocks until done; throws as Communicator does
  virtual bool progress() = 0;  // advances without blocking; true if anything moved
  virtual Waiting waiting() const = 0;

 protected:
  void enter();
  void leave();

 private:
  Communicator& comm_;
  bool active_ = false;
};

}  // namespace ringmaster::comm
