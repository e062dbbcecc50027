// SPDX-License-Identifier: Apache-2.0
// wire: the collectives of a run outside its programs, and the count of all that a run was meant to send. Every collective of a
// training run goes through a Wire or is reported to it, so that the plan can be compared with what was counted.
#pragma once
#include "comm/comm.h"
#include "exec/exchange.h"
#include "exec/executor.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::train {

// What a step moves: its program and the exchange of `num_scalars` integers before it.
exec::Exchanged step_exchanged(const ir::Graph& graph, int64_t num_scalars, const exec::Team& team);

// An error that every rank has thrown together: nobody is left waiting, and one of them may say it.
struct AgreedError : Error {
  using Error::Error;
};

class Wire {
 public:
  explicit Wire(comm::Communicator& comm) : comm_(comm), sum_(comm) {}
  comm::Communicator& comm() const { return comm_; }
  bool is_root() const { return comm_.rank() == 0; }

  void sum(std::string_view name, std::span<int64_t> values);                     // in place, on every rank
  std::vector<std::string> gather(std::string_view name, std::string_view mine);  // by rank, on every rank
  // Runs `body`, which must not communicate, on every rank; if it throws on any, all throw the AgreedError
  // of the lowest such rank.
  void agree(std::string_view name, const std::function<void()>& body);
  void ran(const exec::Executor& program);  // once
  void shared(const exec::Team& team);      // a session has allocated what the ranks of a node share
  void add(const comm::Sent& sent);         // more was meant to be sent

  const exec::Exchanged& planned() const { return planned_; }  // by this rank, so far

 private:
  comm::Communicator& comm_;
  comm::Collective sum_;  // of sum(), kept as its scratch is: a step allocates nothing
  std::vector<std::byte> scratch_;
  exec::Exchanged planned_;
};

}  // namespace ringmaster::train
