// SPDX-License-Identifier: Apache-2.0
// bench step: the training step, timed. Machines drift, so nothing is compared but inside a pair: ours, its matrix products each
// alone, the peer, then ours again; the median of the pairs' ratios counts, and above 1 ours is faster than the peer.
#include "train/bench_step.h"
#include "train/comm_choice.h"

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
#include <cmath>
#include <optional>

namespace ringmaster::launcher {
namespace {

using nlohmann::json;
using train::bytes_text;
using train::median;

constexpr size_t shown_instructions = 30;

// A configuration of the peer: timed once to choose, then as often as there are pairs if it was the fastest.
struct PeerTimes {
  PeerConfig config;
  PeerRun trial;
  std::vector<double> values;  // tokens a second, by pair
};

struct Measured {
  std::vector<double> ours;          // tokens a second, by pair
  std::vector<double> step_seconds;  // the median of each pair
  std::vector<double> gemm_seconds;  // of a step's products, each alone, by pair
  std::vector<PeerTimes> peers;
  size_t paired = 0;           // of `peers`
  int64_t resident_bytes = 0;  // the process's peak, before anything but steps was measured
  train::Peaks peaks;
};

// Enough for about two seconds; at least 5, as the peer's script has it. Every rank agrees, by rank 0's clock.
int64_t steps_of(train::BenchStep& bench, comm::Communicator& comm) {
  const std::vector<double> trial = bench.run(3);
  std::array<int64_t, 1> steps{
      comm.rank() == 0 ? std::clamp(static_cast<int64_t>(std::ceil(2.0 / median(trial))), int64_t{5}, int64_t{500})
                       : 0};
  comm::broadcast(comm, comm::vector_of("bench.steps", std::span<int64_t>(steps)));
  return steps[0];
}

void choose_peer(Measured& measured, const TorchPeer& peer, std::optional<DType> only, int64_t steps) {
  note(fmt::format("choosing the fastest of the peer's configurations, {} steps each", steps));
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (only && *only != dtype) continue;
    for (const bool compile : {false, true}) {
      const PeerConfig config{dtype, compile};
      measured.peers.push_back({config, peer.run(steps, config), {}});
      note(fmt::format("torch {}: {:.0f} tokens/s", config.name(), measured.peers.back().trial.tokens_per_second));
    }
  }
  for (size_t i = 0; i < measured.peers.size(); ++i) {
    if (measured.peers[i].trial.tokens_per_second > measured.peers[measured.paired].trial.tokens_per_second)
      measured.paired = i;
  }
}

Measured measure(train::BenchStep& bench, comm::Communicator& comm, int64_t pairs, const std::optional<TorchPeer>& peer,
                 std::optional<DType> only) {
  Measured measured;
  const int64_t steps = steps_of(bench, comm);
  measured.resident_bytes = train::peak_resident_bytes();
  if (peer) choose_peer(measured, *peer, only, steps);
  const auto say = [&](const char* text) {
    if (comm.rank() == 0) note(text);
  };
  comm::barrier(comm, "bench.peaks");
  say("measuring the machine, then each matrix product of the step alone");
  measured.peaks = train::measure_peaks(bench.session().threads());
  const auto gemms = train::step_gemms(bench.instructions());
  train::BestGemm best(bench.session().threads());
  const auto one = [&](const ir::Gemm& gemm) { return best.seconds(gemm); };
  train::roofline_seconds(gemms, one);  // chooses the ways
  for (int64_t pair = 0; pair < pairs; ++pair) {
    measured.step_seconds.push_back(median(bench.run(steps)));
    measured.ours.push_back(static_cast<double>(bench.tokens_per_step()) / measured.step_seconds.back());
    measured.gemm_seconds.push_back(train::roofline_seconds(gemms, one));
    if (!peer) continue;
    PeerTimes& paired = measured.peers[measured.paired];
    paired.values.push_back(peer->run(steps, paired.config).tokens_per_second);
    note(fmt::format("pair {} of {}: ours {:.0f}, torch {:.0f} tokens/s", pair + 1, pairs, measured.ours.back(),
                     paired.values.back()));
  }
  return measured;
}

std::vector<double> ratios(const std::vector<double>& over, const std::vector<double>& under) {
  std::vector<double> out;
  for (size_t i = 0; i < under.size(); ++i) out.push_back(over[i] / under[i]);
  return out;
}

json peer_json(const Measured& measured, const PeerTimes& times, const TorchPeer& peer) {
  const std::vector<double> ratio = ratios(measured.ours, times.values);
  const bool paired = !ratio.empty();
  return {{"peer", "torch"},
          {"version", peer.script().version()},
          {"config", times.config.name()},
          {"script_sha256", peer.script().sha256()},
          {"paired", paired},
          {"trial", times.trial.tokens_per_second},
          {"values", times.values},
          {"ratio_median", paired ? json(median(ratio)) : json()},
          {"ratio_min", paired ? json(std::ranges::min(ratio)) : json()},
          {"ratio_max", paired ? json(std::ranges::max(ratio)) : json()},
          {"peak_resident_bytes", times.trial.peak_resident_bytes}};
}

json step_json(const train::BenchStep& bench, const Measured& measured, const std::optional<TorchPeer>& peer,
               const comm::Sent& sent) {
  const bool has_gemms = std::ranges::max(measured.gemm_seconds) > 0;
  json row{
      {"name", "step"},
      {"bytes", nullptr},
      {"unit", bench.items() + "/s"},
      {"values", measured.ours},
      {"median", median(measured.ours)},
      {"min", std::ranges::min(measured.ours)},
      {"max", std::ranges::max(measured.ours)},
      {"step_seconds", measured.step_seconds},
      {"gemm_seconds", measured.gemm_seconds},
      {"gemm_roofline_ratio", has_gemms ? json(median(ratios(measured.gemm_seconds, measured.step_seconds))) : json()},
      {"bytes_sent_per_rank", sent.bytes},
      {"messages_per_rank", sent.messages},
      {"memory_bound_share", train::memory_bound_share(bench.instructions(), measured.peaks)},
      {"peak_resident_bytes", measured.resident_bytes},
      {"vs", json::array()}};
  for (const PeerTimes& times : measured.peers) row["vs"].push_back(peer_json(measured, times, *peer));
  return row;
}

// A number with its spread over the pairs.
std::string line(std::string_view label, const std::vector<double>& values, int digits, std::string_view more = {}) {
  return fmt::format("{:<22} {:>10.{}f}   ({:.{}f} to {:.{}f}){}\n", label, median(values), digits,
                     std::ranges::min(values), digits, std::ranges::max(values), digits, more);
}

std::string peer_text(const Measured& measured, const TorchPeer& peer) {
  const PeerTimes& paired = measured.peers[measured.paired];
  std::string out = line("torch       tokens/s", paired.values, 0, "   " + paired.config.name()) +
                    line("ratio of pairs", ratios(measured.ours, paired.values), 3) +
                    fmt::format("{:<22} {:>10.2f}   (ours {}, torch {})\n", "peak resident",
                                static_cast<double>(measured.resident_bytes) /
                                    static_cast<double>(std::max<int64_t>(paired.trial.peak_resident_bytes, 1)),
                                bytes_text(measured.resident_bytes), bytes_text(paired.trial.peak_resident_bytes));
  out += fmt::format("\ntorch {}, each configuration once:", peer.script().version());
  for (const PeerTimes& times : measured.peers)
    out += fmt::format("{} {} {:.0f}", &times == &measured.peers.front() ? "" : ",", times.config.name(),
                       times.trial.tokens_per_second);
  return out + fmt::format(" tokens/s\ntorch_gpt.py sha256 {}\n", peer.script().sha256());
}

std::string step_text(const train::BenchStep& bench, const Measured& measured, const std::optional<TorchPeer>& peer) {
  std::string out = line(fmt::format("ringmaster  {}/s", bench.items()), measured.ours, 0);
  const double gemms = median(measured.gemm_seconds), step = median(measured.step_seconds);
  if (gemms > 0) {
    out += fmt::format("{:<22} {:>10.2f}   ({:.4g} s of {:.4g} s)\n", "GEMM roofline",
                       median(ratios(measured.gemm_seconds, measured.step_seconds)), gemms, step);
  }
  out += fmt::format("{:<22} {:>10.2f}   of the time in instructions\n", "memory-bound share",
                     train::memory_bound_share(bench.instructions(), measured.peaks));
  if (peer) return out + peer_text(measured, *peer);
  return out + fmt::format("{:<22} {:>10}\n", "peak resident", bytes_text(measured.resident_bytes));
}

void check_peer(const std::string& peer, int64_t ranks) {
  if (peer != "torch") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--vs {}` is not a peer of a training step", peer),
                 .key = "--vs",
                 .found = peer,
                 .expected = "torch"});
  }
  if (ranks == 1) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("`--vs torch` times one process, not {} ranks", ranks),
               .key = "--vs",
               .found = fmt::format("{} ranks", ranks),
               .expected = "--ranks 1",
               .cure = "add --ranks 1"});
}

std::optional<DType> peer_dtype(const Arguments& arguments) {
  const auto name = arguments.value("--peer");
  if (!name) return std::nullopt;
  const bool known = *name == "f32" || *name == "bf16";
  if (known && arguments.has("--vs")) return dtype_from_name(*name);
  throw Error({.kind = ErrorKind::usage,
               .message = known ? "`--peer` is of the peer that --vs names, and none is given"
                                : fmt::format("`--peer {}` is no precision of the peer", *name),
               .key = "--peer",
               .found = *name,
               .expected = known ? "--vs torch" : "f32 or bf16",
               .cure = known ? "add --vs torch" : "leave it out for the fastest of all"});
}

}  // namespace

int bench_step(const Arguments& arguments) {
  const std::optional<DType> only = peer_dtype(arguments);
  const int64_t pairs = arguments.integer("--pairs", {1, 1000}).value_or(3);
  const auto vs = arguments.value("--vs");
  config::Resolved resolved = arguments.load_config();
  const int64_t ranks = resolved.config.launch.ranks;
  if (vs) check_peer(*vs, ranks);
  if (vs && resolved.config.model.recipe != "language_model") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("--vs {} compares GPTs, the recipe is {}", *vs, resolved.config.model.recipe),
                 .key = "--vs",
                 .found = resolved.config.model.recipe,
                 .expected = "language_model",
                 .cure = "leave --vs out"});
  }
  if (!comm::launched_by_mpi() && ranks > 1) return run_data_job(arguments, static_cast<int>(ranks));

  const auto comm = join_job(arguments, comm_options(resolved.config));
  train::Wire wire(*comm);
  train::choose_algorithms(wire, resolved.config.comm);
  train::BenchStep bench(resolved, *comm);
  std::optional<TorchPeer> peer;
  if (vs) peer.emplace(resolved.config, bench.session().threads());
  const comm::Sent before = comm->traffic().payload;
  bench.run(1);
  const comm::Sent after = comm->traffic().payload;
  const Measured measured = measure(bench, *comm, pairs, peer, only);
  const comm::Sent sent{.bytes = after.bytes - before.bytes, .messages = after.messages - before.messages};
  if (comm->rank() == 0) {
    const BenchMachine machine{comm->size(), bench.session().threads(), measured.peaks};
    const std::vector<train::InstructionRow> rows = bench.instructions();
    if (arguments.has("--json")) {
      json out = machine_json(machine);
      out["pairs"] = pairs;
      out["rows"] = json::array({step_json(bench, measured, peer, sent)});
      out["instructions"] = instructions_json(rows, measured.peaks);
      print_json(out);
    } else {
      print(machine_text(machine) + "\n" + step_text(bench, measured, peer) + "\n" +
            instructions_text(train::fold(rows), measured.peaks, shown_instructions));
    }
  }
  comm->finalize();
  return 0;
}

}  // namespace ringmaster::launcher
