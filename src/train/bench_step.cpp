// SPDX-License-Identifier: Apache-2.0
#include "train/bench_step.h"

#include "core/philox.h"
#include "train/costs.h"
#include "train/feed.h"
#include "train/machine.h"

#include <algorithm>
#include <chrono>

namespace ringmaster::train {

namespace {

std::string detail_of(const std::vector<ir::Gemm>& gemms, const std::vector<ir::Type>& in,
                      const std::vector<ir::Type>& out) {
  if (gemms.empty() && in.empty() && out.empty()) return "";  // a barrier
  if (gemms.empty()) return ir::str(out.empty() ? in.front() : out.front());
  const ir::Gemm& g = gemms.front();
  return fmt::format("{}{} x {} x {}{}", g.batch > 1 ? fmt::format("{} of ", g.batch) : "", g.m, g.k, g.n,
                     g.dtype == DType::f32 ? "" : fmt::format(" {}", name(g.dtype)));
}

}  // namespace

InstructionRow row_of(const ir::Graph& graph, const ir::Node& node) {
  const auto in = graph.input_types(node), out = graph.output_types(node);
  InstructionRow row{.op = node.op->name, .scope = node.scope, .key = ir::kernel_key(node, in)};
  if (node.op->gemms != nullptr) row.gemms = node.op->gemms({node.attrs, in, out});
  row.detail = detail_of(row.gemms, in, out);
  return row;
}

BenchStep::BenchStep(const config::Resolved& resolved, comm::Communicator& comm, const BenchStepOptions& bench)
    : config_(resolved.config), comm_(comm), wire_(comm) {
  check_recipe(resolved);
  const int threads = threads_per_rank(config_.launch.threads_per_rank, comm.node_size());
  const cost::Table costs = bench.costs != nullptr ? *bench.costs : share_costs(wire_, threads);
  const SessionOptions options{.programs = {.train = true, .threads = threads, .costs = &costs}, .profile = true};
  session_ = std::make_unique<Session>(config_, comm, options);
  session_->allocate();
  session_->initialise(config_.training.seed);
  comm::barrier(comm, "initialised");  // the first rank of a node writes for all
  phases_ = phase_runs(*session_, wire_);
  if (config_.data.source != "file") samples_ = data::open(config_).training;
  for (int64_t i = 0; i < bench.warmup; ++i) step();
  for (const PhaseRun& phase : phases_) phase.program().reset_profile();
}

// Random ids instead of files; the rest is what the loop does, the exchange of the counts included.
void BenchStep::step() {
  for (PhaseRun& phase : phases_) {
    for (int64_t repeat = 0; repeat < phase.phase().repeats; ++repeat) {
      const int64_t first = phase.first_sample(step_ * samples_per_step(phases_), repeat);
      if (samples_)
        feed_samples(phase.program(), *samples_, first, config_.training.grain_size);
      else
        feed_random(phase.program());
      phase.agree(false);
      const PhaseRun::At at{.step = step_, .repeat = repeat, .first_sample = first, .lr = config_.optimizer.lr};
      phase.run(at);
      if (phase.needs_redo()) phase.run(at);
    }
  }
  ++step_;
}

void BenchStep::feed_random(exec::Executor& program) const {
  const int64_t grain_tokens = config_.training.grain_size * config_.training.seq_len;
  const RandomStream stream(
      {.seed = config_.training.seed, .stream = stable_hash("bench.tokens"), .step = static_cast<uint64_t>(step_)});
  const auto vocab = static_cast<uint64_t>(config_.model.vocab_size);
  for (int64_t g = 0; g < program.local_grains(); ++g) {
    const data::BatchMemory batch = batch_memory(program, g);
    auto *const tokens = batch.tensor<int32_t>("tokens"), *const targets = batch.tensor<int32_t>("targets");
    for (int64_t i = 0; i < grain_tokens; ++i) {
      const PhiloxCounter words =
          stream.words(static_cast<uint64_t>(program.first_grain() + g), static_cast<uint64_t>(i));
      tokens[i] = static_cast<int32_t>((uint64_t{words[0]} * vocab) >> 32);
      targets[i] = static_cast<int32_t>((uint64_t{words[1]} * vocab) >> 32);
    }
    std::fill_n(batch.tensor<float>("mask"), grain_tokens, 1.0F);
  }
}

std::vector<double> BenchStep::run(int64_t steps) {
  std::vector<double> seconds;
  comm::barrier(comm_, "bench.start");
  for (int64_t i = 0; i < steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  timed_steps_ += steps;
  return seconds;
}

int64_t BenchStep::tokens_per_step() const {
  return samples_per_step(phases_) * (samples_ ? samples_->tokens_per_sample() : config_.training.seq_len);
}

std::vector<InstructionRow> BenchStep::instructions() const {
  std::vector<InstructionRow> rows;
  const int64_t steps = std::max<int64_t>(timed_steps_, 1);
  for (const auto& executor : session_->executors()) {
    for (const exec::ProfileRow& timed : executor->profile()) {
      if (timed.runs == 0) continue;
      InstructionRow row = row_of(executor->graph(), *timed.node);
      row.runs = timed.runs / steps;
      row.seconds = timed.seconds / static_cast<double>(steps);
      row.flops = timed.flops * row.runs;
      row.bytes = timed.bytes * row.runs;
      rows.push_back(std::move(row));
    }
  }
  rank_by_time(rows);
  return rows;
}

void BenchStep::observe(const std::function<void(const exec::Instant&)>& observer) {
  for (const PhaseRun& phase : phases_) phase.program().observe(observer);
  step();
  for (const PhaseRun& phase : phases_) phase.program().observe({});
}

}  // namespace ringmaster::train
