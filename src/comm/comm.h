// SPDX-License-Identifier: Apache-2.0
// comm: what ranks say to each other. A Communicator moves bytes between two ranks without blocking; a Collective is one
// reduce_scatter, all_gather, all_reduce or broadcast in flight over it (collective.h), by one of several algorithms (schedule.h).
//
// Surprising: any wait advances every collective in flight, so ranks may wait for them in different orders, but they must
// START them in the same order. Everything here belongs to one thread of a rank, the only one that may call MPI.
// Errors: kind timeout when nothing moves for timeout_s; kind rank when a peer or MPI fails or ranks disagree.
#pragma once
#include "comm/group.h"
#include "comm/traffic.h"
#include "core/dtype.h"
#include "core/error.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ringmaster::comm {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

struct Options {
  double timeout_s = 300.0;                     // a wait in which nothing moves for this long throws
  int64_t segment_bytes = usual_segment_bytes;  // the largest message of a collective; the same on every rank
  int ranks_per_node = 0;                       // of run_ranks, whose threads play several nodes; 0: one node
};

// Three kinds of messages, told apart by their MPI tag so that they can be counted from outside (see wire_tag).
enum class Lane : uint8_t { message, header, payload };
struct Tag {
  Lane lane = Lane::message;
  uint64_t number = 0;  // of a message: the caller's choice below 8192; of the others: the collective's sequence number
  int group = 0;        // of a collective
  int stream = 0;       // of a payload, 0 or 1: two rows of messages between two ranks that keep no order
};
// message [0, 8192), header [8192, 16384), payload [16384, 32768): all within the 32767 that every MPI guarantees. Sequence
// numbers wrap, which is safe while fewer than most_in_flight collectives are in flight.
int wire_tag(Tag tag);
inline constexpr int most_in_flight = 8192 / most_groups;

// What a rank waits for; goes into timeouts and failure reports.
struct Waiting {
  Operation operation = Operation::message;
  std::string name;  // of the collective, given by its caller
  uint64_t sequence = 0;
  int rank = 0, peer = 0;
  int64_t bytes_done = 0, bytes_total = 0;  // of what this rank receives from `peer`, or sends where it only sends
  double seconds = 0;                       // since the last byte moved
};
class TimeoutError : public Error {
 public:
  explicit TimeoutError(Waiting waiting);
  const Waiting& waiting() const { return waiting_; }

 private:
  Waiting waiting_;
};

class Collective;
class InFlight;
class NodeCollective;

struct Request {
  int64_t id = -1;  // -1: nothing in flight
  bool active() const { return id >= 0; }
};

class Communicator {
 public:
  Communicator(const Place& place, const Options& options);
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  int node_rank() const { return place_.node_rank; }
  int node_size() const { return place_.node_size; }
  const std::vector<int>& node() const { return place_.node; }
  const std::vector<int>& lane() const { return place_.lane; }  // across nodes; see Place
  Members members(const Group* group) const { return {group, rank(), size()}; }
  const Options& options() const { return options_; }
  const Traffic& traffic() const { return traffic_; }

  // Non-blocking. The bytes stay the caller's and must live until test() was true or cancel() returned. Messages between two
  // ranks with one tag arrive in order; the receiver must name the exact size. peer != rank().
  Request start_send(ConstBytes bytes, int peer, Tag tag);
  Request start_recv(Bytes bytes, int peer, Tag tag);
  bool test(Request& request);  // true: complete (or never active), and the request is inactive from now on
  virtual void cancel(Request& request) = 0;  // gives the buffer back on the way out of an error

  bool poll();  // advances every collective in flight; true if anything moved; never blocks
  void wait(Request& request, const Waiting& what);  // blocks; `what` fills the timeout's text
  const Choice& choice() const { return choice_; }
  void choose(const Choice& choice) {
    choice_ = choice;
  }  // of collectives started from here on; the same on every rank
  uint64_t next_sequence(int group = 0) { return sequence_[static_cast<size_t>(group)]++; }  // at a collective's start
  std::optional<Waiting> waiting() const;  // the oldest collective in flight

  // Called at most every 10 ms while this rank waits: heartbeats, stop flags. It may throw; it must not wait.
  void on_poll(std::function<void()> hook) { on_poll_ = std::move(hook); }

  virtual void finalize() = 0;             // the orderly end, after which nothing may be sent
  [[noreturn]] void abort(int exit_code);  // ends every rank at once; mpirun returns exit_code

 protected:
  virtual Request post_send(ConstBytes bytes, int peer, int tag) = 0;
  virtual Request post_recv(Bytes bytes, int peer, int tag) = 0;
  virtual void end_job(int exit_code) = 0;  // stops the other ranks; this one ends when it returns
  virtual void check_alive() {}             // throws where another rank is known to have failed; asked while waiting
  virtual bool complete(Request& request) = 0;  // request.active(); releases it when complete

 private:
  friend class InFlight;
  friend class NodeCollective;
  // Calls step() until it says done: spins 20 us, then yields, then sleeps up to 1 ms, so that more ranks than cores work.
  enum class Step { idle, moved, done };
  void wait_until(const std::function<Step()>& step, const std::function<Waiting()>& what);
  void check_peer(int peer) const;

  Place place_;
  Options options_;
  Traffic traffic_;
  Choice choice_;
  std::array<uint64_t, most_groups> sequence_{};  // of the next collective, by group
  std::vector<InFlight*> in_flight_;              // in the order of their start
  std::function<void()> on_poll_;
  std::chrono::steady_clock::time_point next_hook_{};
  std::thread::id thread_ = std::this_thread::get_id();
};

// ---- who we are
bool launched_by_mpi();                                                  // PMIX_RANK is set: this process is a rank
std::unique_ptr<Communicator> make_single(const Options& options = {});  // one rank, never calls MPI
std::unique_ptr<Communicator> make_mpi(const Options& options = {});     // calls MPI_Init_thread; once a process
// `size` ranks as threads of this process. Returns when all have ended; rethrows the first failure, after which every other
// rank's next wait throws "aborted because rank N failed".
void run_ranks(int size, const std::function<void(Communicator&)>& body, const Options& options = {});

// ---- collectives
enum class Reduce : uint8_t { sum, max };  // of f32, f64, i32, i64; integer sums wrap; the maximum of a NaN is NaN

// The `elements` of one rank, the same count on every rank. Rank r owns chunk_of(elements, r, size). Of a group, r, size and a root
// are those within it.
struct Vector {
  std::string_view name;  // "gradients.bucket3": for errors, and checked to be the same on all ranks
  DType dtype = DType::f32;
  void* data = nullptr;
  int64_t elements = 0;
  Bytes scratch = {};  // scratch_bytes(...) for the receives of a reduction; empty: the Collective keeps its own
  const Group* group = nullptr;                // of whom; null: all ranks. Outlives the call
  Algorithm algorithm = Algorithm::automatic;  // as the communicator chooses
};
template <typename T>
Vector vector_of(std::string_view name, std::span<T> values, Bytes scratch = {}, const Group* group = nullptr) {
  return {.name = name,
          .dtype = dtype_of<T>::value,
          .data = values.data(),
          .elements = static_cast<int64_t>(values.size()),
          .scratch = scratch,
          .group = group};
}

struct Chunk {
  int64_t begin = 0, end = 0;  // elements
  int64_t size() const { return end - begin; }
};
Chunk chunk_of(int64_t elements, int index, int count);  // contiguous, in order; sizes differ by at most one element

// In place. The data must not be touched between start and done. A Collective is made once and started again and again; what
// it needs is allocated by its first start.
void start_reduce_scatter(Collective& collective, const Vector& vector,
                          Reduce reduce = Reduce::sum);               // own chunk: reduced
void start_all_gather(Collective& collective, const Vector& vector);  // own chunk goes to all
void start_all_reduce(Collective& collective, const Vector& vector, Reduce reduce = Reduce::sum);
void start_broadcast(Collective& collective, const Vector& vector, int root = 0);

// The blocking forms.
void reduce_scatter(Communicator& comm, const Vector& vector, Reduce reduce = Reduce::sum);
void all_gather(Communicator& comm, const Vector& vector);
void all_reduce(Communicator& comm, const Vector& vector, Reduce reduce = Reduce::sum);
void broadcast(Communicator& comm, const Vector& vector, int root = 0);
void barrier(Communicator& comm, std::string_view name = "barrier", const Group* group = nullptr);
void send(Communicator& comm, ConstBytes bytes, int peer, uint64_t tag);
void recv(Communicator& comm, Bytes bytes, int peer, uint64_t tag);
std::vector<std::string> all_gather_bytes(Communicator& comm, std::string_view name, std::string_view mine);  // by rank

}  // namespace ringmaster::comm
