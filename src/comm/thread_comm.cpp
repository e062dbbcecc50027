// SPDX-License-Identifier: Apache-2.0
// thread_comm: ranks as threads of one process, for tests and debuggers. As in MPI, a short message is buffered and a long one
// completes only when its receiver has copied it: an order of calls that would deadlock there deadlocks here too.
// One mutex a receiving rank guards its unmatched sends and receives; whoever comes second copies, under that mutex.
#include "comm/comm.h"

#include <atomic>
#include <cstring>
#include <exception>
#include <list>
#include <mutex>

namespace ringmaster::comm {

namespace {

constexpr size_t buffered_bytes = 128;  // holds a Header, so that a rank that refuses has still said what it called

struct Transfer {
  int source = 0, tag = 0;
  std::vector<std::byte> copy;  // of a short send
  ConstBytes from;              // of a send
  Bytes into;                   // of a receive
  size_t matched_bytes = 0;     // of a receive, valid once done
  std::atomic<bool> done = false;
};
using TransferPtr = std::shared_ptr<Transfer>;

struct Mailbox {
  std::mutex mutex;
  std::list<TransferPtr> sends, receives;  // unmatched, oldest first
};

struct World {
  explicit World(int size) : mailboxes(static_cast<size_t>(size)) {}
  std::vector<Mailbox> mailboxes;  // by receiving rank
  std::atomic<int> failed_rank = -1;
};

// Takes the oldest transfer from `source` with `tag` out of `list`.
TransferPtr take(std::list<TransferPtr>& list, int source, int tag) {
  for (auto it = list.begin(); it != list.end(); ++it) {
    if ((*it)->source != source || (*it)->tag != tag) continue;
    TransferPtr found = *it;
    list.erase(it);
    return found;
  }
  return nullptr;
}

void deliver(Transfer& send, Transfer& receive) {
  receive.matched_bytes = send.from.size();
  if (send.from.size() == receive.into.size() && !send.from.empty()) {
    std::memcpy(receive.into.data(), send.from.data(), send.from.size());
  }
  send.done.store(true, std::memory_order_release);
  receive.done.store(true, std::memory_order_release);
}

class ThreadComm final : public Communicator {
 public:
  ThreadComm(World& world, int rank, int size, const Options& options)
      : Communicator(place_of(rank, size, options.ranks_per_node), options), world_(world) {}

  void cancel(Request& request) override {
    const Flight flight = release(request);
    if (flight.transfer->done.load(std::memory_order_acquire)) return;  // a buffered send still arrives
    Mailbox& box = world_.mailboxes[static_cast<size_t>(flight.receiver)];
    const std::lock_guard lock(box.mutex);
    box.sends.remove(flight.transfer);
    box.receives.remove(flight.transfer);
  }

  void finalize() override {}

 protected:
  // Throws: the process must outlive its ranks.
  void end_job(int exit_code) override {
    throw Error(
        {.kind = ErrorKind::rank, .message = fmt::format("rank {} aborts with exit code {}", rank(), exit_code)});
  }

  Request post_send(ConstBytes bytes, int peer, int tag) override {
    auto transfer = std::make_shared<Transfer>();
    transfer->source = rank();
    transfer->tag = tag;
    transfer->from = bytes;
    if (bytes.size() <= buffered_bytes) {
      transfer->copy.assign(bytes.begin(), bytes.end());
      transfer->from = transfer->copy;
      transfer->done.store(true, std::memory_order_release);
    }
    Mailbox& box = world_.mailboxes[static_cast<size_t>(peer)];
    const std::lock_guard lock(box.mutex);
    if (const TransferPtr receive = take(box.receives, rank(), tag)) {
      deliver(*transfer, *receive);
    } else {
      box.sends.push_back(transfer);
    }
    return hold(std::move(transfer), peer);
  }

  Request post_recv(Bytes bytes, int peer, int tag) override {
    auto transfer = std::make_shared<Transfer>();
    transfer->source = peer;
    transfer->tag = tag;
    transfer->into = bytes;
    Mailbox& box = world_.mailboxes[static_cast<size_t>(rank())];
    const std::lock_guard lock(box.mutex);
    if (const TransferPtr send = take(box.sends, peer, tag)) {
      deliver(*send, *transfer);
    } else {
      box.receives.push_back(transfer);
    }
    return hold(std::move(transfer), rank());
  }

  void check_alive() override {
    const int failed = world_.failed_rank.load(std::memory_order_acquire);
    if (failed >= 0)
      throw Error({.kind = ErrorKind::rank, .message = fmt::format("aborted because rank {} failed", failed)});
  }

  bool complete(Request& request) override {
    const Transfer& transfer = *flights_[static_cast<size_t>(request.id)].transfer;
    if (!transfer.done.load(std::memory_order_acquire)) {
      check_alive();
      return false;
    }
    const Flight flight = release(request);
    const Transfer& t = *flight.transfer;
    CHECK(flight.receiver != rank() || t.matched_bytes == t.into.size(), "rank {} sent {} bytes, rank {} expects {}",
          t.source, t.matched_bytes, rank(), t.into.size());
    return true;
  }

 private:
  static Place place_of(int rank, int size, int ranks_per_node) {
    CHECK(ranks_per_node >= 0, "{} ranks a node", ranks_per_node);
    std::vector<int> node_of(static_cast<size_t>(size));
    for (int r = 0; r < size && ranks_per_node > 0; ++r) node_of[static_cast<size_t>(r)] = r / ranks_per_node;
    return place_among(rank, node_of);
  }

  struct Flight {
    TransferPtr transfer;
    int receiver = 0;
  };

  Request hold(TransferPtr transfer, int receiver) {
    size_t id = 0;
    while (id < flights_.size() && flights_[id].transfer) ++id;
    if (id == flights_.size()) flights_.emplace_back();
    flights_[id] = {std::move(transfer), receiver};
    return {static_cast<int64_t>(id)};
  }

  Flight release(Request& request) {
    const auto id = static_cast<size_t>(std::exchange(request, {}).id);
    return std::exchange(flights_[id], {});
  }

  World& world_;
  std::vector<Flight> flights_;  // by Request::id; empty ones are reused
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& body, const Options& options) {
  CHECK(size >= 1, "{} ranks", size);
  World world(size);
  std::exception_ptr first_failure;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        ThreadComm comm(world, rank, size, options);
        body(comm);
      } catch (...) {
        int nobody = -1;
        if (world.failed_rank.compare_exchange_strong(nobody, rank)) first_failure = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first_failure) std::rethrow_exception(first_failure);
}

}  // namespace ringmaster::comm
