// SPDX-License-Identifier: Apache-2.0
// bench all_reduce, reduce_scatter, all_gather: collectives of f32 or int32 over the ranks of a job, each algorithm and each peer in
// turns. A time is of the slowest rank. Held against the bytes that must move through a node's memory where nothing is copied twice.
#include "backend/cpu/peak.h"
#include "comm/mpi_peer.h"
#include "comm/node.h"
#include "launcher/arguments.h"
#include "launcher/bench_report.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"
#include "launcher/peer.h"
#include "train/machine.h"
#include "train/summary.h"
#include "train/terminal.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <sstream>

namespace ringmaster::launcher {
namespace {

using comm::Communicator;
using comm::Operation;
using nlohmann::json;
using train::median;

constexpr const char* usual_bytes = "4KiB,64KiB,1MiB,16MiB,64MiB,256MiB";
constexpr int64_t usual_ranks = 2, usual_pairs = 7;
constexpr double at_once = 0.05;  // seconds that a measurement takes at least

[[noreturn]] void refuse(const std::string& flag, const std::string& found, const std::string& expected) {
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("`{} {}` is not possible here", flag, found),
               .key = flag,
               .found = found,
               .expected = expected});
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream in(list);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

// One way to do a collective, on memory of its own.
class Way {
 public:
  virtual ~Way() = default;
  virtual void run() = 0;  // blocks
  virtual comm::Sent sent() const { return {}; }
  virtual int64_t bytes_read() const { return 0; }  // of peers' memory
};

struct Call {
  Operation operation = Operation::all_reduce;
  DType dtype = DType::f32;
  int64_t elements = 0;  // of the whole vector; a multiple of the ranks
};

// By messages.
class MessageWay final : public Way {
 public:
  MessageWay(Communicator& comm, const Call& call, comm::Algorithm algorithm)
      : collective_(comm), call_(call), algorithm_(algorithm), data_(call.elements, DType::f32) {}
  void run() override {
    const comm::Vector vector{.name = "bench",
                              .dtype = call_.dtype,
                              .data = data_.data(),
                              .elements = call_.elements,
                              .algorithm = algorithm_};
    if (call_.operation == Operation::all_reduce) comm::start_all_reduce(collective_, vector);
    if (call_.operation == Operation::reduce_scatter) comm::start_reduce_scatter(collective_, vector);
    if (call_.operation == Operation::all_gather) comm::start_all_gather(collective_, vector);
    collective_.wait();
  }
  comm::Sent sent() const override {
    const comm::RingShape shape{.elements = call_.elements,
                                .rank = collective_.comm().rank(),
                                .size = collective_.comm().size(),
                                .segment_bytes = collective_.comm().options().segment_bytes,
                                .choice = {algorithm_}};
    if (call_.operation == Operation::all_reduce) return comm::all_reduce_sent(shape);
    return call_.operation == Operation::all_gather ? comm::all_gather_sent(shape) : comm::reduce_scatter_sent(shape);
  }

 private:
  comm::Collective collective_;
  Call call_;
  comm::Algorithm algorithm_;
  backend::PeakBuffer data_;
};

class NodeWay final : public Way {
 public:
  NodeWay(Communicator& comm, const Call& call)
      : memory_(comm, "bench", {.bytes = call.elements * 4}),
        collective_(memory_),
        call_(call),
        out_(call.elements, DType::f32) {}
  void run() override {
    const comm::NodeVector vector{.name = "bench", .dtype = call_.dtype, .elements = call_.elements};
    if (call_.operation == Operation::all_reduce) collective_.start_all_reduce(vector, out_.data());
    if (call_.operation == Operation::reduce_scatter) collective_.start_reduce_scatter(vector);
    if (call_.operation == Operation::all_gather) collective_.start_all_gather(vector, out_.data());
    collective_.wait();
  }
  int64_t bytes_read() const override {
    const Communicator& comm = memory_.comm();
    return comm::node_bytes_read(call_.operation, {.elements = call_.elements}, comm.node_rank(), comm.node_size());
  }

 private:
  comm::NodeMemory memory_;
  comm::NodeCollective collective_;
  Call call_;
  backend::PeakBuffer out_;
};

class MpiWay final : public Way {
 public:
  explicit MpiWay(const Call& call) : call_(call), in_(call.elements, DType::f32), out_(call.elements, DType::f32) {}
  void run() override {
    if (call_.operation == Operation::all_reduce)
      comm::mpi_all_reduce(in_.data(), out_.data(), call_.elements, call_.dtype);
    if (call_.operation == Operation::reduce_scatter)
      comm::mpi_reduce_scatter(in_.data(), out_.data(), call_.elements, call_.dtype);
    if (call_.operation == Operation::all_gather)
      comm::mpi_all_gather(in_.data(), out_.data(), call_.elements, call_.dtype);
  }

 private:
  Call call_;
  backend::PeakBuffer in_, out_;
};

// Seconds of one run, of the slowest rank.
double seconds_of(Communicator& comm, Way& way, int64_t repeats) {
  comm::barrier(comm, "bench");
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < repeats; ++i) way.run();
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
  std::array<double, 1> slowest{all.count() / static_cast<double>(repeats)};
  comm::all_reduce(comm, comm::vector_of("bench.seconds", std::span<double>(slowest)), comm::Reduce::max);
  return slowest[0];
}

struct Times {
  std::string name;  // of an algorithm or a peer
  std::vector<double> seconds;
  comm::Sent sent;
  int64_t bytes_read = 0;
};

struct Size {
  int64_t bytes = 0;  // of the whole vector, in 4-byte elements that the ranks divide
  std::vector<Times> ours, peers;
};

struct Wanted {
  Call call;
  std::vector<std::string> algorithms, peers;
  std::vector<int64_t> bytes;
  int64_t pairs = usual_pairs;
};

std::unique_ptr<Way> make_way(const std::string& name, Communicator& comm, const Call& call) {
  if (name == "mpi") return std::make_unique<MpiWay>(call);
  if (name == "node") return std::make_unique<NodeWay>(comm, call);
  return std::make_unique<MessageWay>(comm, call, *comm::algorithm_from_name(name));
}

Size measure(Communicator& comm, const Wanted& wanted, int64_t bytes) {
  Size size{.bytes = bytes};
  Call call = wanted.call;
  call.elements = bytes / 4;
  struct Runner {
    std::unique_ptr<Way> way;
    int64_t repeats;
    Times* times;
  };
  std::vector<Runner> runners;
  for (const std::string& name : wanted.algorithms) size.ours.push_back({.name = name});
  for (const std::string& name : wanted.peers) size.peers.push_back({.name = name});
  for (auto* list : {&size.ours, &size.peers}) {
    for (Times& times : *list) {
      if (times.name == "gloo") continue;  // in processes of its own
      auto way = make_way(times.name, comm, call);
      times.sent = way->sent();
      times.bytes_read = way->bytes_read();
      seconds_of(comm, *way, 2);  // touches its memory
      const double trial = seconds_of(comm, *way, 1);
      const auto repeats = std::clamp(static_cast<int64_t>(std::ceil(at_once / trial)), int64_t{1}, int64_t{20000});
      runners.push_back({std::move(way), repeats, &times});
    }
  }
  for (int64_t pair = 0; pair < wanted.pairs; ++pair) {
    if (pair % 2 == 1) std::ranges::reverse(runners);
    for (Runner& runner : runners) runner.times->seconds.push_back(seconds_of(comm, *runner.way, runner.repeats));
    if (pair % 2 == 1) std::ranges::reverse(runners);
  }
  return size;
}

// Bytes that go through the memory of a node of P ranks where each is read and written as seldom as can be.
int64_t least_traffic(Operation operation, int64_t bytes, int ranks) {
  if (operation == Operation::all_reduce) return (3 * ranks - 1) * bytes;
  return operation == Operation::reduce_scatter ? (ranks + 1) * bytes : 2 * (ranks - 1) * bytes;
}

struct Machine {
  int ranks = 1;
  double triad = 0;  // bytes/s of all ranks together
};

double bound_share(const Times& times, const Wanted& wanted, int64_t bytes, const Machine& machine) {
  const double least = static_cast<double>(least_traffic(wanted.call.operation, bytes, machine.ranks)) / machine.triad;
  return least / median(times.seconds);
}

std::vector<double> ratios(const Times& ours, const Times& peer) {
  std::vector<double> out;
  for (size_t i = 0; i < ours.seconds.size() && i < peer.seconds.size(); ++i)
    out.push_back(peer.seconds[i] / ours.seconds[i]);
  return out;
}

json row_json(const Size& size, const Times& ours, const Wanted& wanted, const Machine& machine,
              const std::map<std::string, std::string>& versions) {
  std::vector<double> rates;
  for (const double s : ours.seconds) rates.push_back(static_cast<double>(size.bytes) / s);
  json row{{"name", comm::name(wanted.call.operation)},
           {"algorithm", ours.name},
           {"wire", wanted.call.dtype == DType::f32 ? "f32" : "int32"},
           {"bytes", size.bytes},
           {"unit", "B/s"},
           {"values", rates},
           {"median", median(rates)},
           {"min", std::ranges::min(rates)},
           {"max", std::ranges::max(rates)},
           {"seconds", ours.seconds},
           {"gemm_roofline_ratio", nullptr},
           {"bytes_sent_per_rank", ours.sent.bytes},
           {"messages_per_rank", ours.sent.messages},
           {"bytes_read_per_rank", ours.bytes_read},
           {"memory_bound_share", bound_share(ours, wanted, size.bytes, machine)},
           {"vs", json::array()}};
  for (const Times& peer : size.peers) {
    const std::vector<double> ratio = ratios(ours, peer);
    row["vs"].push_back({{"peer", peer.name},
                         {"version", versions.at(peer.name)},
                         {"seconds", peer.seconds},
                         {"ratio_median", median(ratio)},
                         {"ratio_min", std::ranges::min(ratio)},
                         {"ratio_max", std::ranges::max(ratio)}});
  }
  return row;
}

std::string time_text(double seconds) {
  return seconds >= 1e-3 ? fmt::format("{:.2f} ms", seconds * 1e3) : fmt::format("{:.1f} us", seconds * 1e6);
}

std::string to_text(const std::vector<Size>& sizes, const Wanted& wanted, const Machine& machine) {
  std::string out = fmt::format("{:<10}{:<8}{:>11}{:>12}{:>10}", "bytes", "", "time", "GB/s", "of bound");
  for (const std::string& peer : wanted.peers) out += fmt::format("    over {:<23}", peer);
  while (out.ends_with(' ')) out.pop_back();
  out += "\n";
  for (const Size& size : sizes) {
    for (const Times& ours : size.ours) {
      const double seconds = median(ours.seconds);
      out += fmt::format("{:<10}{:<8}{:>11}{:>12.2f}{:>8.0f} %", train::bytes_text(size.bytes), ours.name,
                         time_text(seconds), static_cast<double>(size.bytes) / seconds / 1e9,
                         100 * bound_share(ours, wanted, size.bytes, machine));
      for (const Times& peer : size.peers) {
        const std::vector<double> ratio = ratios(ours, peer);
        out += fmt::format("    {:>5.2f} ({:.2f} to {:.2f}){:8}", median(ratio), std::ranges::min(ratio),
                           std::ranges::max(ratio), "");
      }
      while (out.ends_with(' ')) out.pop_back();
      out += "\n";
    }
  }
  return out + fmt::format(
                   "\nGB/s: of the vector. Bound: what must go through the node's memory at the triad's rate, "
                   "{:.1f} GB/s of {} ranks together.\n",
                   machine.triad / 1e9, machine.ranks);
}

bool does(comm::Algorithm algorithm, Operation operation) {
  return algorithm != comm::Algorithm::automatic && comm::can(algorithm, operation);
}

Wanted read(const Arguments& arguments, Operation operation, int ranks) {
  Wanted wanted;
  wanted.call.operation = operation;
  const std::string wire = arguments.value("--wire").value_or("f32");
  if (wire != "f32" && wire != "int32") refuse("--wire", wire, "f32 or int32");
  wanted.call.dtype = wire == "f32" ? DType::f32 : DType::i32;
  wanted.pairs = arguments.integer("--pairs", {1, 1000}).value_or(usual_pairs);
  wanted.algorithms = words_of(arguments.value("--algorithm").value_or("node,ring"));
  for (const std::string& name : wanted.algorithms)
    if (const auto algorithm = comm::algorithm_from_name(name);
        name != "node" && !(algorithm && does(*algorithm, operation)))
      refuse("--algorithm", name, "node, ring, halving, or (of all_reduce) tree, several with commas");
  wanted.peers = words_of(arguments.value("--vs").value_or(""));
  for (const std::string& name : wanted.peers) {
    if (name != "mpi" && name != "gloo") refuse("--vs", name, "mpi, gloo, or both with a comma");
    if (name == "gloo" && wire != "f32") refuse("--vs", name, "--wire f32, which is all that its script times");
  }
  for (const std::string& word : words_of(arguments.value("--bytes").value_or(usual_bytes))) {
    const auto bytes = config::parse_bytes(word);
    if (!bytes || *bytes < int64_t{4} * ranks)
      refuse("--bytes", word, "sizes such as 64KiB,1MiB: an element a rank or more");
    wanted.bytes.push_back(*bytes / (int64_t{4} * ranks) * (int64_t{4} * ranks));
  }
  return wanted;
}

void add_gloo(std::vector<Size>& sizes, const Wanted& wanted, const GlooPeer& gloo, int ranks) {
  for (int64_t pair = 0; pair < wanted.pairs; ++pair) {
    const GlooPeer::Run run = gloo.run(comm::name(wanted.call.operation), ranks, wanted.bytes);
    for (Size& size : sizes)
      for (Times& peer : size.peers)
        if (peer.name == "gloo") peer.seconds.push_back(run.seconds.at(size.bytes));
  }
}

int bench(const Arguments& arguments, Operation operation) {
  const bool in_job = comm::launched_by_mpi();
  const auto ranks = static_cast<int>(arguments.integer("--ranks", {2, 4096}).value_or(usual_ranks));
  if (!in_job) {
    read(arguments, operation, ranks);  // what is wrong is said before ranks are started
    return run_data_job(arguments, ranks);
  }
  const auto comm = join_job(arguments, {});
  const Wanted wanted = read(arguments, operation, comm->size());
  if (comm->node_size() != comm->size() && std::ranges::count(wanted.algorithms, "node") > 0)
    refuse("--algorithm", "node", "all ranks on one node");
  std::vector<Size> sizes;
  for (const int64_t bytes : wanted.bytes) {
    if (comm->rank() == 0) note(fmt::format("{} of {}", comm::name(operation), train::bytes_text(bytes)));
    sizes.push_back(measure(*comm, wanted, bytes));
  }
  comm::barrier(*comm, "bench.triad");
  std::array<double, 1> triad{backend::triad_bytes_per_second(1)};
  comm::all_reduce(*comm, comm::vector_of("bench.triad", std::span<double>(triad)));
  const Machine machine{comm->size(), triad[0]};
  if (comm->rank() == 0) {
    std::map<std::string, std::string> versions{{"mpi", comm::mpi_version()}};
    if (std::ranges::count(wanted.peers, "gloo") > 0) {
      const GlooPeer gloo;
      versions["gloo"] = gloo.script().version();
      add_gloo(sizes, wanted, gloo, machine.ranks);
    }
    if (arguments.has("--json")) {
      json out = machine_json({machine.ranks, 1, {.triad = machine.triad}});
      out["pairs"] = wanted.pairs;
      out["rows"] = json::array();
      for (const Size& size : sizes)
        for (const Times& ours : size.ours) out["rows"].push_back(row_json(size, ours, wanted, machine, versions));
      print_json(out);
    } else {
      print(fmt::format("{} of {} over {} ranks, {}, {}\n\n", comm::name(operation),
                        wanted.call.dtype == DType::f32 ? "f32" : "int32", machine.ranks, train::isa(),
                        train::cpu_name()) +
            to_text(sizes, wanted, machine));
    }
  }
  comm->finalize();
  return 0;
}

}  // namespace

int bench_all_reduce(const Arguments& arguments) { return bench(arguments, Operation::all_reduce); }
int bench_reduce_scatter(const Arguments& arguments) { return bench(arguments, Operation::reduce_scatter); }
int bench_all_gather(const Arguments& arguments) { return bench(arguments, Operation::all_gather); }

}  // namespace ringmaster::launcher
