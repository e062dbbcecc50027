// SPDX-License-Identifier: Apache-2.0
#include "train/loop.h"

#include "data/ngram.h"
#include "nn/schedule.h"
#include "train/feed.h"
#include "train/machine.h"
#include "train/stop.h"
#include "train/train.h"
#include "train/validate.h"

#include <chrono>
#include <cmath>
#include <ctime>

namespace ringmaster::train {
namespace {

using Time = std::chrono::steady_clock::time_point;
Time now() { return std::chrono::steady_clock::now(); }
double seconds(Time from, Time to) { return std::chrono::duration<double>(to - from).count(); }
double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool is_due(int64_t interval, int64_t step, int64_t last) {
  return step == last || (interval > 0 && step % interval == 0);
}

// What a step of this program sends, over all ranks.
int64_t wire_bytes_of_all(const ir::Graph& graph, int64_t num_scalars, comm::RingShape who) {
  int64_t bytes = 0;
  for (who.rank = 0; who.rank < who.size; ++who.rank) bytes += step_sent(graph, num_scalars, who).bytes;
  return bytes;
}

}  // namespace

double learning_rate(const config::Config& c, int64_t step) {
  const auto& s = c.lr_scheduler;
  const nn::Decay decay = s.decay_type == "cosine"   ? nn::Decay::cosine
                          : s.decay_type == "linear" ? nn::Decay::linear
                                                     : nn::Decay::constant;
  return c.optimizer.lr * nn::lr_factor({.warmup_steps = s.warmup_steps,
                                         .total_steps = c.training.steps,
                                         .decay = decay,
                                         .min_factor = s.min_lr_factor},
                                        step);
}

Loop::Loop(const LoopParts& parts)
    : p_(parts),
      config_(parts.resolved.config),
      program_(parts.session.executor(parts.session.recipe().phases.front().name)),
      evaluator_(parts.session.executor(parts.session.recipe().evaluators.front().name)),
      sampler_(parts.dataset.train, {.seed = config_.training.seed,
                                     .seq_len = config_.training.seq_len,
                                     .global_batch_size = config_.training.global_batch_size}),
      windows_(parts.dataset.validation, config_.training.seq_len),
      weights_(weight_inputs(program_.graph())),
      counts_(weights_.size() + 1),
      step_wire_bytes_(
          wire_bytes_of_all(program_.graph(), static_cast<int64_t>(counts_.size()), ring_of(parts.wire.comm()))) {
  CHECK(parts.session.recipe().phases.size() == 1, "the loop runs one phase");
}

End Loop::run() {
  const int64_t last = config_.training.steps;
  int64_t& done = p_.progress.state.step;
  while (done < last) {
    const Outcome outcome = step();
    if (outcome == Outcome::diverged) return {"diverged", 4};
    if (outcome == Outcome::stop) {
      if (saved_step_ != done) save();
      return {"saved", 75};
    }
    if (is_due(config_.validation.interval, done, last)) validate();
    if (is_due(config_.checkpoint.interval, done, last)) save();
  }
  return {"done", 0};
}

// Fills the batch and agrees on what counts in it. False: some rank was told to stop.
bool Loop::prepare_step(Clock& clock) {
  const int64_t step = p_.progress.state.step;
  const Time start = now();
  phase_ = "data";
  feed_samples(program_, sampler_, step * config_.training.global_batch_size, config_.training.grain_size);
  for (size_t i = 0; i < weights_.size(); ++i) counts_[i] = count_entries(program_, weights_[i]);
  counts_.back() = StopSignals::requested() ? 1 : 0;
  const Time fed = now();
  phase_ = "train";
  p_.wire.sum("step.counts", counts_);
  clock.data = seconds(start, fed);
  clock.comm = seconds(fed, now());
  if (counts_.back() > 0) return false;
  for (size_t i = 0; i < weights_.size(); ++i)
    program_.set_scalar(models::Weight{weights_[i]}.scalar(), static_cast<double>(counts_[i]));
  program_.set_scalar("lr", learning_rate(config_, step));
  program_.set_scalar("step", static_cast<double>(step + 1));
  return true;
}

Loop::Outcome Loop::step() {
  RunState& state = p_.progress.state;
  const int64_t faults = page_faults();
  const Time start = now();
  Clock clock;
  if (!prepare_step(clock)) return Outcome::stop;
  program_.run({.seed = config_.training.seed,
                .step = state.step,
                .first_sample = state.step * config_.training.global_batch_size},
               config_.training.grain_size);
  p_.wire.ran(program_.graph());
  clock.compute = program_.stats().compute_seconds;
  clock.comm += program_.stats().comm_seconds;
  gemm_flops_ += program_.stats().gemm_flops;
  loss_ = program_.output_scalar("loss");
  grad_norm_ = program_.output_scalar("grad_norm");
  if (program_.output_scalar("commit") == 0) {
    divergence_ = std::isfinite(loss_) ? "the gradient norm is not finite" : "the loss is not finite";
    return Outcome::diverged;
  }
  clock.total = seconds(start, now());
  const data::SampleRange range = sampler_.range(state.step);
  state.step += 1;
  state.next_sample = range.sample_end;
  state.epoch = range.epoch;
  p_.progress.loss = loss_;
  p_.progress.step_seconds.push_back(clock.total);
  if (p_.progress.step_seconds.size() > 2) faults_ += page_faults() - faults;
  record_step(clock);
  return Outcome::committed;
}

void Loop::record_step(const Clock& clock) {
  if (p_.metrics == nullptr) return;
  const RunState& state = p_.progress.state;
  const data::SampleRange range = sampler_.range(state.step - 1);
  const auto samples = static_cast<double>(config_.training.global_batch_size);
  Json line;
  line["kind"] = "step";
  line["step"] = state.step;
  line["loss"] = loss_;
  line["lr"] = learning_rate(config_, state.step - 1);
  line["grad_norm"] = grad_norm_;
  line["tokens"] = p_.progress.tokens_per_step;
  line["sample_first"] = range.sample_first;
  line["sample_end"] = range.sample_end;
  line["epoch"] = range.epoch;
  line["loss_scale"] = 1;
  line["redone"] = false;
  line["wire_bytes_sent"] = step_wire_bytes_;
  line["ranks"] = p_.wire.comm().size();
  line["attempt"] = p_.attempt;
  line["step_seconds"] = clock.total;
  line["compute_seconds"] = clock.compute;
  line["exposed_comm_seconds"] = clock.comm;
  line["data_seconds"] = clock.data;
  line["samples_per_second"] = samples / clock.total;
  line["tokens_per_second"] = static_cast<double>(p_.progress.tokens_per_step) / clock.total;
  line["time_unix"] = unix_time();
  p_.metrics->append(line);
  p_.terminal.step({.step = state.step,
                    .steps = config_.training.steps,
                    .loss = loss_,
                    .lr = learning_rate(config_, state.step - 1),
                    .grad_norm = grad_norm_,
                    .tokens = p_.progress.tokens_per_step,
                    .seconds = clock.total,
                    .comm_seconds = clock.comm});
}

void Loop::validate() {
  phase_ = "validation";
  RunState& state = p_.progress.state;
  const double loss = validation_loss(evaluator_, windows_, p_.wire, config_.training.grain_size);
  p_.progress.validation_loss = loss;
  if (!state.best_validation_loss || loss < *state.best_validation_loss) {
    state.best_validation_loss = loss;
    state.best_step = state.step;
  }
  if (p_.metrics == nullptr) return;
  p_.metrics->append({{"kind", "validation"},
                      {"step", state.step},
                      {"validation_loss", loss},
                      {"validation_tokens", windows_.num_targets()},
                      {"time_unix", unix_time()}});
  p_.terminal.validation(loss, baseline());
}

void Loop::save() {
  phase_ = "checkpoint";
  const RunState& state = p_.progress.state;
  p_.wire.agree("checkpoint", [&] {  // and nobody changes the weights before rank 0 has read them
    if (p_.metrics == nullptr) return;
    const Time start = now();
    checkpoint::Content content = train::content(p_.session, config_, state);
    content.provenance = {{"version", version()},
                          {"cpu", cpu_name()},
                          {"isa", isa()},
                          {"host", host_name()},
                          {"ranks", p_.wire.comm().size()},
                          {"threads_per_rank", p_.session.threads()},
                          {"time_unix", unix_time()}};
    const checkpoint::Committed done = checkpoint::commit(
        config_.output.dir, content, {.keep_latest_k = static_cast<int>(config_.checkpoint.keep_latest_k)});
    checkpoint_path_ = (Path(config_.output.dir) / "checkpoint" / done.path.filename()).string();
    p_.progress.params_hash = done.params_hash;
    p_.progress.state_hash = done.state_hash;
    p_.metrics->append({{"kind", "checkpoint"},
                        {"step", state.step},
                        {"path", done.path.string()},
                        {"sequence", done.sequence},
                        {"bytes", done.bytes},
                        {"stall_seconds", seconds(start, now())},
                        {"params_hash", done.params_hash},
                        {"state_hash", done.state_hash},
                        {"time_unix", unix_time()}});
  });
  saved_step_ = state.step;
}

// The loss of an order-2 model of the same bytes, worked out once; none where it would take long or tokens are not bytes.
std::optional<double> Loop::baseline() {
  constexpr int64_t most_tokens = int64_t{64} << 20;
  if (baseline_) return *baseline_;
  baseline_.emplace();
  const bool bytes = config_.data.tokenizer == "byte" && config_.model.vocab_size == 256;
  if (bytes && p_.dataset.train.size <= most_tokens)
    baseline_->emplace(data::ngram_nats(p_.dataset.train, p_.dataset.validation,
                                        {.order = 2, .vocab_size = config_.model.vocab_size}));
  return *baseline_;
}

Curve Loop::curve() const {
  if (p_.metrics == nullptr) return {};
  return {.train = p_.metrics->train_curve(),
          .validation = p_.metrics->validation_curve(),
          .baseline = baseline_.value_or(std::nullopt),
          .baseline_name = "order-2 n-gram"};
}

RankNumbers Loop::numbers() const {
  const comm::Sent sent = p_.wire.comm().traffic().payload;
  return {.grains = program_.local_grains(),
          .peak_bytes_planned = p_.session.planned_peak_bytes(),
          .peak_bytes_measured = p_.session.measured_peak_bytes(),
          .process_peak_bytes = peak_resident_bytes(),
          .process_pss_bytes = proportional_resident_bytes(),
          .wire_bytes_sent_planned = p_.wire.planned().bytes,
          .wire_bytes_sent_measured = sent.bytes,
          .messages_sent = sent.messages,
          .gemm_flops = gemm_flops_,
          .page_faults_after_step_2 = faults_};
}

const ir::Node* Loop::current() const {
  return program_.current() != nullptr ? program_.current() : evaluator_.current();
}

}  // namespace ringmaster::train
