// SPDX-License-Identifier: Apache-2.0
// mpi_comm: the communicator of a job started by mpirun or srun, over non-blocking MPI point to point alone.
// Surprising: destroying it without finalize() leaves MPI as it is. After a failure MPI_Finalize could wait for ever for a
// dead peer; the way out is abort(). As for cancel(): MPI may still write into a given-up buffer until the process ends, so an
// error that crosses a wait must lead to abort(), not to more communication.
#include "comm/comm.h"

#include <mpi.h>

#include <climits>
#include <cstdlib>

namespace ringmaster::comm {

namespace {

void require(int code, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error({.kind = ErrorKind::rank,
               .message = fmt::format("{} failed: {}", what, std::string_view(text, static_cast<size_t>(length))),
               .cure = "see whether every rank and the network between them are alive"});
}

Place place_of(MPI_Comm world) {
  int rank = 0, size = 1;
  require(MPI_Comm_rank(world, &rank), "MPI_Comm_rank");
  require(MPI_Comm_size(world, &size), "MPI_Comm_size");
  MPI_Comm node = MPI_COMM_NULL;
  require(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
  int lowest = rank;  // of the node, which names it
  require(MPI_Bcast(&lowest, 1, MPI_INT, 0, node), "MPI_Bcast");
  require(MPI_Comm_free(&node), "MPI_Comm_free");
  std::vector<int> node_of(static_cast<size_t>(size));
  require(MPI_Allgather(&lowest, 1, MPI_INT, node_of.data(), 1, MPI_INT, world), "MPI_Allgather");
  return place_among(rank, node_of);
}

class MpiComm final : public Communicator {
 public:
  MpiComm(MPI_Comm world, const Options& options) : Communicator(place_of(world), options), world_(world) {
    flights_.reserve(256);
    free_.reserve(256);
  }

  void cancel(Request& request) override {
    Flight& flight = flights_[static_cast<size_t>(request.id)];
    MPI_Cancel(&flight.request);  // results are of no use here: this runs while an error unwinds
    MPI_Request_free(&flight.request);
    release(request);
  }

  void finalize() override {
    CHECK(free_.size() == flights_.size(), "{} messages in flight at the end", flights_.size() - free_.size());
    require(MPI_Comm_free(&world_), "MPI_Comm_free");
    require(MPI_Finalize(), "MPI_Finalize");
  }

 protected:
  void end_job(int exit_code) override { MPI_Abort(MPI_COMM_WORLD, exit_code); }

  Request post_send(ConstBytes bytes, int peer, int tag) override {
    const Request request = hold(peer, -1);
    MPI_Request* slot = &flights_[static_cast<size_t>(request.id)].request;
    const int code = MPI_Isend(bytes.data(), count_of(bytes.size()), MPI_BYTE, peer, tag, world_, slot);
    if (code != MPI_SUCCESS) require(code, fmt::format("sending {} bytes to rank {}", bytes.size(), peer));
    return request;
  }

  Request post_recv(Bytes bytes, int peer, int tag) override {
    const Request request = hold(peer, count_of(bytes.size()));
    MPI_Request* slot = &flights_[static_cast<size_t>(request.id)].request;
    const int code = MPI_Irecv(bytes.data(), count_of(bytes.size()), MPI_BYTE, peer, tag, world_, slot);
    if (code != MPI_SUCCESS) require(code, fmt::format("receiving {} bytes from rank {}", bytes.size(), peer));
    return request;
  }

  bool complete(Request& request) override {
    Flight& flight = flights_[static_cast<size_t>(request.id)];
    int done = 0, received = 0;
    MPI_Status status;
    const int code = MPI_Test(&flight.request, &done, &status);
    if (code != MPI_SUCCESS) {
      release(request);
      require(code, fmt::format("the exchange with rank {}", flight.peer));
    }
    if (done == 0) return false;
    if (flight.expected >= 0) {
      require(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count");
      CHECK(received == flight.expected, "rank {} sent {} bytes, rank {} expects {}", flight.peer, received, rank(),
            flight.expected);
    }
    release(request);
    return true;
  }

 private:
  struct Flight {
    MPI_Request request = MPI_REQUEST_NULL;
    int peer = 0;
    int expected = -1;  // bytes of a receive; -1: a send
  };

  static int count_of(size_t bytes) {
    CHECK(bytes <= INT_MAX, "one message of {} bytes", bytes);
    return static_cast<int>(bytes);
  }

  Request hold(int peer, int expected) {
    if (free_.empty()) {
      free_.push_back(static_cast<int64_t>(flights_.size()));
      flights_.emplace_back();
    }
    const int64_t id = free_.back();
    free_.pop_back();
    flights_[static_cast<size_t>(id)] = {MPI_REQUEST_NULL, peer, expected};
    return {id};
  }

  void release(Request& request) { free_.push_back(std::exchange(request, {}).id); }

  MPI_Comm world_;
  std::vector<Flight> flights_;  // by Request::id
  std::vector<int64_t> free_;    // ids to use again
};

}  // namespace

bool launched_by_mpi() { return std::getenv("PMIX_RANK") != nullptr; }

std::unique_ptr<Communicator> make_mpi(const Options& options) {
  int initialized = 0, provided = 0;
  MPI_Initialized(&initialized);
  CHECK(initialized == 0, "MPI is initialised twice");
  require(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED) {
    throw Error({.kind = ErrorKind::rank,
                 .message = "this MPI library does not support threads",
                 .found = fmt::format("thread level {}", provided),
                 .expected = "MPI_THREAD_SERIALIZED",
                 .cure = "use an MPI that was built with thread support, such as Debian's OpenMPI 4.1"});
  }
  require(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm world = MPI_COMM_NULL;  // our own: our tags can not meet anybody else's. It inherits the error handler
  require(MPI_Comm_dup(MPI_COMM_WORLD, &world), "MPI_Comm_dup");
  return std::make_unique<MpiComm>(world, options);
}

}  // namespace ringmaster::comm
