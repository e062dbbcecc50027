// SPDX-License-Identifier: Apache-2.0
// pending: a request that gives its buffer back when an error unwinds past it.
#pragma once
#include "comm/comm.h"

namespace ringmaster::comm {

class Pending {
 public:
  Pending(Communicator& comm, Request request) : comm_(comm), request_(request) {}
  ~Pending() {
    if (request_.active()) comm_.cancel(request_);
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  void wait(const Waiting& what) { comm_.wait(request_, what); }

 private:
  Communicator& comm_;
  Request request_;
};

}  // namespace ringmaster::comm
