// SPDX-License-Identifier: Apache-2.0
// mpi_ring: one rank of the ring's tests under mpirun. Rank 0 prints one JSON object and ends with 0, or any rank says what is
// wrong on stderr and aborts the job with its exit code.
//   mpi_ring suite SEGMENT_BYTES      every fact of ring_suite.h and node_suite.h
//   mpi_ring algorithms SEGMENT_BYTES every fact of algorithm_suite.h
//   mpi_ring count ELEMENTS           one all_reduce of f32 and what it planned to send, by rank; nothing else on the wire
//   mpi_ring absent|stopped|killed|disagree   rank 1 never calls, is stopped, dies, or calls something else; the timeout is 1 s
#include "../algorithm_suite.h"
#include "../node_suite.h"
#include "../ring_suite.h"

#include <unistd.h>
#include <chrono>
#include <csignal>

namespace ringmaster::comm {
namespace {

// "[{"bytes":..,"messages":..},..]": what each rank would send, worked out on rank 0.
std::string planned(int64_t elements, int size) {
  std::string text;
  for (int rank = 0; rank < size; ++rank) {
    const Sent sent = all_reduce_sent({.elements = elements, .rank = rank, .size = size});
    text += fmt::format("{}{{\"bytes\":{},\"messages\":{}}}", rank > 0 ? "," : "", sent.bytes, sent.messages);
  }
  return "[" + text + "]";
}

void count(Communicator& comm, int64_t elements) {
  std::vector<float> data = suite::values_of<float>(comm.rank(), elements);
  all_reduce(comm, vector_of("count", std::span(data)));
  for (int chunk = 0; chunk < comm.size(); ++chunk) {
    const Chunk range = chunk_of(elements, chunk, comm.size());
    for (int64_t i = range.begin; i < range.end; i += 97) {
      const auto want = suite::reference<float>(i, chunk, comm.size(), Reduce::sum);
      suite::require(want == data[static_cast<size_t>(i)], fmt::format("element {} differs", i));
    }
  }
  if (comm.rank() == 0) fmt::print("{{\"ok\":true,\"planned\":{}}}\n", planned(elements, comm.size()));
}

void misbehave(Communicator& comm, std::string_view how) {
  std::vector<float> data(100'000);
  comm.next_sequence();  // so that the one below has a number of its own
  if (comm.rank() == 1 && how == "absent") {
    for (;;) pause();  // until mpirun ends it
  }
  if (comm.rank() == 1 && how == "stopped") raise(SIGSTOP);
  if (comm.rank() == 1 && how == "killed") raise(SIGKILL);
  if (comm.rank() == 1 && how == "disagree") data.resize(99'999);
  all_reduce(comm, vector_of("bucket", std::span(data)));
}

int run(Communicator& comm, std::string_view mode, int64_t number) {
  try {
    suite::require(comm.node_size() == comm.size() && comm.node_rank() == comm.rank(),
                   "mpirun on one host is one node");
    if (mode == "suite") {
      suite::run_all(comm);
      suite::run_node(comm);
      if (comm.rank() == 0) fmt::print("{{\"ok\":true,\"ranks\":{}}}\n", comm.size());
    } else if (mode == "algorithms") {
      suite::run_algorithms(comm);
      suite::algorithms_overlap(comm);
      suite::every_algorithm<int32_t>(comm, {1'000'003, 13}, Reduce::sum);
      if (comm.rank() == 0) fmt::print("{{\"ok\":true,\"ranks\":{}}}\n", comm.size());
    } else if (mode == "count") {
      count(comm, number);
    } else {
      misbehave(comm, mode);
    }
    comm.finalize();
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "[rank {}] {}", comm.rank(), render(error.info()));
    comm.abort(exit_code(error.info().kind));
  } catch (const std::exception& error) {
    fmt::print(stderr, "[rank {}] {}\n", comm.rank(), error.what());
    comm.abort(1);
  }
}

}  // namespace
}  // namespace ringmaster::comm

int main(int argc, char** argv) {
  using namespace ringmaster::comm;
  const std::string_view mode = argc > 1 ? argv[1] : "suite";
  const int64_t number = argc > 2 ? std::atoll(argv[2]) : 64;
  const suite::Watchdog watchdog;
  Options options;
  if (mode == "suite" || mode == "algorithms") options.segment_bytes = number;
  if (mode == "absent" || mode == "stopped" || mode == "killed" || mode == "disagree") options.timeout_s = 1.0;
  const auto comm = launched_by_mpi() ? make_mpi(options) : make_single(options);
  return run(*comm, mode, number);
}
