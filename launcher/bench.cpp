// SPDX-License-Identifier: Apache-2.0
// bench step: the training step, timed. Machines drift, so a peer is only ever compared inside a pair: ours, then the peer,
// then ours again; the median of the pairs' ratios counts, and above 1 ours is faster.
#include "train/bench_step.h"

#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"
#include "launcher/peer.h"
#include "train/machine.h"
#include "train/summary.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace ringmaster::launcher {
namespace {

using nlohmann::json;
using train::median;

constexpr int64_t shown_instructions = 20;

struct Measured {
  std::vector<double> ours;   // tokens a second, by pair
  std::vector<double> peers;  // the same, or empty
  std::string peer_mode;      // eager | compile
};

double tokens_per_second(train::BenchStep& bench, int64_t steps) {
  return static_cast<double>(bench.tokens_per_step()) / median(bench.run(steps));
}

// Enough for about two seconds; at least 5, as the peer's script has it. Every rank agrees, by rank 0's clock.
int64_t steps_of(train::BenchStep& bench, comm::Communicator& comm) {
  const std::vector<double> trial = bench.run(3);
  std::array<int64_t, 1> steps{
      comm.rank() == 0 ? std::clamp(static_cast<int64_t>(std::ceil(2.0 / median(trial))), int64_t{5}, int64_t{500})
                       : 0};
  comm::broadcast(comm, comm::vector_of("bench.steps", std::span<int64_t>(steps)));
  return steps[0];
}

Measured measure(train::BenchStep& bench, comm::Communicator& comm, int64_t pairs,
                 const std::optional<TorchPeer>& peer) {
  Measured measured;
  const int64_t steps = steps_of(bench, comm);
  if (peer) {
    note(fmt::format("choosing the faster of the peer's two ways, {} steps each", steps));
    const double eager = peer->run(steps, "eager"), compiled = peer->run(steps, "compile");
    measured.peer_mode = compiled > eager ? "compile" : "eager";
    note(fmt::format("torch eager {:.0f}, compiled {:.0f} tokens/s", eager, compiled));
  }
  for (int64_t pair = 0; pair < pairs; ++pair) {
    measured.ours.push_back(tokens_per_second(bench, steps));
    if (!peer) continue;
    measured.peers.push_back(peer->run(steps, measured.peer_mode));
    note(fmt::format("pair {} of {}: ours {:.0f}, torch {:.0f} tokens/s", pair + 1, pairs, measured.ours.back(),
                     measured.peers.back()));
  }
  return measured;
}

std::vector<double> ratios(const Measured& measured) {
  std::vector<double> out;
  for (size_t i = 0; i < measured.peers.size(); ++i) out.push_back(measured.ours[i] / measured.peers[i]);
  return out;
}

json peer_json(const Measured& measured, const TorchPeer& peer) {
  const std::vector<double> ratio = ratios(measured);
  return {{"peer", "torch"},
          {"version", peer.version()},
          {"config", "f32 " + measured.peer_mode},
          {"script_sha256", peer.script_sha256()},
          {"values", measured.peers},
          {"ratio_median", median(ratio)},
          {"ratio_min", std::ranges::min(ratio)},
          {"ratio_max", std::ranges::max(ratio)}};
}

json as_json(const train::BenchStep& bench, const comm::Communicator& comm, const Measured& measured,
             const std::optional<TorchPeer>& peer, const comm::Sent& sent) {
  json instructions = json::array();
  for (const train::InstructionRow& row : bench.instructions()) {
    instructions.push_back({{"op", row.op},
                            {"scope", row.scope},
                            {"seconds", row.seconds},
                            {"flops", row.flops},
                            {"bytes", row.bytes},
                            {"share", row.share}});
  }
  json row{{"name", "step"},
           {"bytes", nullptr},
           {"unit", bench.items() + "/s"},
           {"values", measured.ours},
           {"median", median(measured.ours)},
           {"min", std::ranges::min(measured.ours)},
           {"max", std::ranges::max(measured.ours)},
           {"gemm_roofline_ratio", nullptr},
           {"bytes_sent_per_rank", sent.bytes},
           {"messages_per_rank", sent.messages},
           {"memory_bound_share", nullptr},
           {"vs", json::array()}};
  if (peer) row["vs"].push_back(peer_json(measured, *peer));
  return {{"schema", "ringmaster.bench/1"},
          {"cpu", train::cpu_name()},
          {"isa", train::isa()},
          {"cores", train::allowed_cores()},
          {"ranks", comm.size()},
          {"threads_per_rank", bench.session().threads()},
          {"pairs", measured.ours.size()},
          {"gemm_peak", {{"f32", nullptr}, {"bf16", nullptr}}},
          {"triad_bytes_per_second", nullptr},
          {"rows", json::array({std::move(row)})},
          {"instructions", std::move(instructions)}};
}

std::string as_text(const train::BenchStep& bench, const comm::Communicator& comm, const Measured& measured,
                    const std::optional<TorchPeer>& peer) {
  const auto line = [](std::string_view label, const std::vector<double>& values, int digits) {
    return fmt::format("{:<22} {:>10.{}f}   ({:.{}f} to {:.{}f})\n", label, median(values), digits,
                       std::ranges::min(values), digits, std::ranges::max(values), digits);
  };
  std::string out = fmt::format("{} rank{} x {} thread{}, {}, {}\n\n", comm.size(), comm.size() == 1 ? "" : "s",
                                bench.session().threads(), bench.session().threads() == 1 ? "" : "s", train::isa(),
                                train::cpu_name());
  out += line(fmt::format("ringmaster  {}/s", bench.items()), measured.ours, 0);
  if (peer) {
    out += line("torch       tokens/s", measured.peers, 0);
    out += line("ratio of pairs", ratios(measured), 3);
    out += fmt::format("\ntorch {}, f32 {}, {} sha256 {}\n", peer->version(), measured.peer_mode, "torch_gpt.py",
                       peer->script_sha256());
  }
  out += "\n      ms   share    GFLOP/s      GB/s\n";
  int64_t shown = 0;
  for (const train::InstructionRow& row : bench.instructions()) {
    if (++shown > shown_instructions) break;
    const double seconds = std::max(row.seconds, 1e-12);
    out += fmt::format("{:8.2f}  {:5.1f} %  {:>9}  {:8.1f}  {} {}\n", row.seconds * 1e3, row.share * 100,
                       row.flops > 0 ? fmt::format("{:.1f}", static_cast<double>(row.flops) / seconds / 1e9) : "",
                       static_cast<double>(row.bytes) / seconds / 1e9, row.op, row.scope);
  }
  return out;
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

}  // namespace

int bench_step(const Arguments& arguments) {
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
  train::BenchStep bench(resolved, *comm);
  std::optional<TorchPeer> peer;
  if (vs) peer.emplace(resolved.config, bench.session().threads());
  const comm::Sent before = comm->traffic().payload;
  bench.run(1);
  const comm::Sent after = comm->traffic().payload;
  const Measured measured = measure(bench, *comm, pairs, peer);
  const comm::Sent sent{.bytes = after.bytes - before.bytes, .messages = after.messages - before.messages};
  if (comm->rank() == 0) {
    if (arguments.has("--json"))
      print_json(as_json(bench, *comm, measured, peer, sent));
    else
      print(as_text(bench, *comm, measured, peer));
  }
  comm->finalize();
  return 0;
}

}  // namespace ringmaster::launcher
