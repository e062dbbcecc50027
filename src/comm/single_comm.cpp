// SPDX-License-Identifier: Apache-2.0
// single: the communicator of a job of one rank. Every collective is done as it starts, so nothing is ever posted; MPI is
// never called.
#include "comm/comm.h"

namespace ringmaster::comm {

namespace {

class SingleComm final : public Communicator {
 public:
  explicit SingleComm(const Options& options) : Communicator(Place{}, options) {}
  void cancel(Request& request) override { request = {}; }
  void finalize() override {}

 protected:
  void end_job(int) override {}
  Request post_send(ConstBytes, int peer, int) override { refuse(peer); }
  Request post_recv(Bytes, int peer, int) override { refuse(peer); }
  bool complete(Request&) override { return true; }

 private:
  [[noreturn]] static void refuse(int peer) {
    check_failed("size() > 1", __FILE__, __LINE__, fmt::format("the only rank has no peer {}", peer));
  }
};

}  // namespace

std::unique_ptr<Communicator> make_single(const Options& options) { return std::make_unique<SingleComm>(options); }

}  // namespace ringmaster::comm
