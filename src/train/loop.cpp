// SPDX-License-Identifier: Apache-2.0
#include "train/loop.h"

#include "core/call_memory.h"
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
#include <iterator>

namespace ringmaster::train {
namespace {

using Time = std::chrono::steady_clock::time_point;
Time now() { return std::chrono::steady_clock::now(); }
double seconds(Time from, Time to) { return std::chrono::duration<double>(to - from).count(); }
double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Into a string that keeps its memory.
void write_losses(const std::vector<PhaseRun>& phases, std::string& text) {
  text.clear();
  for (const PhaseRun& phase : phases) {
    const std::string_view name = phases.size() == 1 ? std::string_view("loss") : phase.name();
    fmt::format_to(std::back_inserter(text), "{}{} {:.3f}", text.empty() ? "" : "  ", name, phase.loss());
  }
}

bool is_due(int64_t interval, int64_t step, int64_t last) {
  return step == last || (interval > 0 && step % interval == 0);
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
      phases_(phase_runs(parts.session, parts.wire)),
      sentinel_(parts.session, parts.wire, phases_, config_.training.verify_interval),
      evaluator_(parts.session.executor(parts.session.recipe().evaluators.front().name)),
      step_samples_(samples_per_step(phases_)) {
  p_.progress.tokens_per_step = step_samples_ * p_.data.training->tokens_per_sample();
  const int64_t left = std::max<int64_t>(0, config_.training.steps - p_.progress.state.step);
  reserve_touched(p_.progress.step_seconds, static_cast<size_t>(left));
  if (p_.metrics != nullptr) p_.metrics->reserve(left);
  for (const PhaseRun& phase : phases_) {
    int64_t& bytes = run_wire_bytes_.emplace_back();
    const exec::Team& team = phase.program().team();
    for (int rank = 0; rank < team.size; ++rank)
      bytes +=
          phase.sent_once(exec::planned_team(rank, team.size, team.node_size, team.segment_bytes, team.choice)).bytes;
  }
}

End Loop::run() {
  const int64_t last = config_.training.steps;
  int64_t& done = p_.progress.state.step;
  while (done < last) {
    const Outcome outcome = step();
    if (outcome == Outcome::diverged) return {"diverged", 4};
    if (outcome == Outcome::stop) {
      if (saved_step_ != done && !save()) return {"diverged", 4};
      return {"saved", 75};
    }
    if (is_due(config_.validation.interval, done, last) && !validate()) return {"diverged", 4};
    if ((is_due(config_.checkpoint.interval, done, last) || is_best(done)) && !save()) return {"diverged", 4};
  }
  return {"done", 0};
}

// One repeat of a phase of the step under way. Only a step that has changed nothing yet, grids included, may stop instead.
Loop::Outcome Loop::run_phase(PhaseRun& phase, int64_t repeat, Clock& clock) {
  const auto& t = config_.training;
  const int64_t step = p_.progress.state.step, first_sample = phase.first_sample(step * step_samples_, repeat);
  half_done_ = &phase != &phases_.front() || repeat > 0;
  const Time start = now();
  phase_ = "data";
  feed_samples(phase.program(), *p_.data.training, first_sample, t.grain_size);
  const Time fed = now();
  phase_ = phase.name();
  const bool stop = phase.agree(!half_done_ && !again_ && StopSignals::requested());
  clock.data += seconds(start, fed);
  clock.comm += seconds(fed, now());
  if (stop) return Outcome::stop;
  phase.run({.step = step, .repeat = repeat, .first_sample = first_sample, .lr = learning_rate(config_, step)});
  const exec::RunStats& stats = phase.program().stats();
  clock.compute += stats.compute_seconds;
  clock.wire_bytes += run_wire_bytes_[static_cast<size_t>(&phase - phases_.data())];
  clock.comm += stats.comm_seconds;
  gemm_flops_ += stats.gemm_flops;
  if (phase.committed()) {
    sentinel_.committed(phase, step);
    return Outcome::committed;
  }
  if (phase.needs_redo()) return Outcome::redo;
  if (phase.overflowed()) {
    record_skip(phase);
    return Outcome::skipped;
  }
  const int64_t repeats = phase.phase().repeats;
  divergence_ = {
      fmt::format("{} of phase {}{} is not finite", std::isfinite(phase.loss()) ? "the gradient norm" : "the loss",
                  phase.name(), repeats > 1 ? fmt::format(", repeat {} of {},", repeat + 1, repeats) : ""),
      half_done_ ? "earlier phases of this step had changed weights already; what is saved is from before it"
                 : "the step was not committed, so all weights are those before it"};
  return Outcome::diverged;
}

Loop::Outcome Loop::step() {
  RunState& state = p_.progress.state;
  const int64_t faults = page_faults(), calls = heap_calls;
  const Time start = now();
  Clock clock;
  redone_ = false;
  for (PhaseRun& phase : phases_) {
    for (int64_t repeat = 0; repeat < phase.phase().repeats; ++repeat) {
      Outcome outcome = run_phase(phase, repeat, clock);
      while (outcome == Outcome::skipped || outcome == Outcome::redo) {
        again_ = outcome == Outcome::redo;
        redone_ = redone_ || again_;
        outcome = run_phase(phase, repeat, clock);
        CHECK(!again_ || outcome != Outcome::redo,
              "step {}, phase {}: the gradients do not fit the grids that were made for them", state.step + 1,
              phase.name());
        again_ = false;
      }
      if (outcome != Outcome::committed) return outcome;
    }
  }
  p_.progress.redone_steps += redone_ ? 1 : 0;
  clock.total = seconds(start, now());
  const int64_t per_epoch = p_.data.training->per_epoch();
  state.epoch = per_epoch > 0 ? state.step * step_samples_ / per_epoch : 0;
  state.step += 1;
  state.next_sample = state.step * step_samples_;
  p_.progress.loss = phases_.front().loss();
  p_.progress.step_seconds.push_back(clock.total);
  if (p_.progress.step_seconds.size() > 2) faults_ += page_faults() - faults;
  record_step(clock);
  if (p_.progress.step_seconds.size() > 2) allocations_ += heap_calls - calls;
  show_step(clock);
  return Outcome::committed;
}

void Loop::record_step(const Clock& clock) {
  if (p_.metrics == nullptr) return;
  const RunState& state = p_.progress.state;
  const auto samples = static_cast<double>(step_samples_);
  JsonLine& line = line_;
  line.begin();
  line.add_name("kind", "step");
  line.add("step", state.step);
  line.add("loss", phases_.front().loss());
  if (phases_.size() > 1) {
    line.begin_object("losses");
    for (const PhaseRun& phase : phases_) line.add(phase.name(), phase.loss());
    line.end_object();
  }
  line.add("lr", learning_rate(config_, state.step - 1));
  line.add("grad_norm", phases_.front().grad_norm());
  line.add("tokens", p_.progress.tokens_per_step);
  line.add("sample_first", state.next_sample - step_samples_);
  line.add("sample_end", state.next_sample);
  line.add("epoch", state.epoch);
  line.add("loss_scale", phases_.front().loss_scale());
  line.add_bool("redone", redone_);
  line.add("wire_bytes_sent", clock.wire_bytes);
  line.add("ranks", int64_t{p_.wire.comm().size()});
  line.add("attempt", int64_t{p_.attempt});
  line.add("step_seconds", clock.total);
  line.add("compute_seconds", clock.compute);
  line.add("exposed_comm_seconds", clock.comm);
  line.add("data_seconds", clock.data);
  line.add("samples_per_second", samples / clock.total);
  line.add("tokens_per_second", static_cast<double>(p_.progress.tokens_per_step) / clock.total);
  line.add("time_unix", unix_time());
  p_.metrics->append_step(line, {.step = state.step, .loss = phases_.front().loss()});
}

void Loop::show_step(const Clock& clock) {
  if (p_.metrics == nullptr) return;
  const RunState& state = p_.progress.state;
  write_losses(phases_, losses_);
  p_.terminal.step({.step = state.step,
                    .steps = config_.training.steps,
                    .loss = losses_,
                    .lr = learning_rate(config_, state.step - 1),
                    .grad_norm = phases_.front().grad_norm(),
                    .tokens = p_.progress.tokens_per_step,
                    .seconds = clock.total,
                    .comm_seconds = clock.comm});
}

// A step whose gradients overflowed in f16: nothing but the scale has changed, and the same samples come again.
void Loop::record_skip(const PhaseRun& phase) {
  p_.progress.skipped_steps += 1;
  if (p_.metrics == nullptr) return;
  line_.begin();
  line_.add_name("kind", "skip");
  line_.add("step", p_.progress.state.step + 1);
  line_.add_name("phase", phase.name());
  line_.add("loss", phase.loss());
  line_.add("loss_scale", phase.loss_scale());
  line_.add("attempt", int64_t{p_.attempt});
  line_.add("time_unix", unix_time());
  p_.metrics->append(line_);
}

bool Loop::validate() {
  phase_ = "validation";
  RunState& state = p_.progress.state;
  const double loss = validation_loss(evaluator_, *p_.data.validation, p_.wire, config_.training.grain_size);
  const bool finite = std::isfinite(loss);
  p_.progress.validation_loss = loss;
  const bool counts = p_.session.recipe().evaluators.front().ranks_steps && finite;
  if (counts && (!state.best_validation_loss || loss < *state.best_validation_loss)) {
    state.best_validation_loss = loss;
    state.best_step = state.step;
  }
  if (!finite) divergence_ = {"the validation loss is not finite", "nothing was saved since"};
  if (p_.metrics == nullptr) return finite;
  p_.metrics->append({{"kind", "validation"},
                      {"step", state.step},
                      {"validation_loss", loss},
                      {"validation_tokens", p_.data.validation->num_targets()},
                      {"time_unix", unix_time()}});
  p_.terminal.validation(loss, baseline());
  return finite;
}

bool Loop::is_best(int64_t step) const {
  const RunState& state = p_.progress.state;
  return config_.checkpoint.keep_best && state.best_validation_loss && state.best_step == step;
}

bool Loop::save() {
  phase_ = "checkpoint";
  if (const std::string name = not_finite(p_.session); !name.empty()) {
    divergence_ = {fmt::format("{} holds a number that is not finite", name), "nothing was saved since"};
    return false;
  }
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
        config_.output.dir, content,
        {.keep_latest_k = static_cast<int>(config_.checkpoint.keep_latest_k),
         .keep_step = config_.checkpoint.keep_best && state.best_validation_loss ? state.best_step : -1});
    checkpoint_path_ = (Path(config_.output.dir) / "checkpoint" / done.path.filename()).string();
    if (is_best(state.step)) best_path_ = checkpoint_path_;
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
  return true;
}

// The loss of an order-2 model of the same bytes, worked out once; none where it would take long or tokens are not bytes.
std::optional<double> Loop::baseline() {
  constexpr int64_t most_tokens = int64_t{64} << 20;
  if (baseline_) return *baseline_;
  baseline_.emplace();
  const data::Dataset& dataset = p_.data.dataset;
  const bool bytes =
      dataset.train.source != nullptr && config_.data.tokenizer == "byte" && config_.model.vocab_size == 256;
  if (bytes && dataset.train.size <= most_tokens)
    baseline_->emplace(
        data::ngram_nats(dataset.train, dataset.validation, {.order = 2, .vocab_size = config_.model.vocab_size}));
  return *baseline_;
}

Curve Loop::curve() const {
  if (p_.metrics == nullptr) return {};
  const bool same =
      p_.session.recipe().evaluators.front().ranks_steps;  // else what is trained and what is judged differ
  return {.train = p_.metrics->train_curve(),
          .validation = same ? p_.metrics->validation_curve() : std::vector<CurvePoint>{},
          .baseline = baseline_.value_or(std::nullopt),
          .baseline_name = "order-2 n-gram"};
}

RankNumbers Loop::numbers() const {
  const comm::Sent sent = p_.wire.comm().traffic().payload;
  return {.grains = phases_.front().program().local_grains(),
          .peak_bytes_planned = p_.session.planned_peak_bytes(),
          .peak_bytes_measured = p_.session.measured_peak_bytes(),
          .process_bytes_planned = p_.session.programs().process_bytes(),
          .process_peak_bytes = peak_resident_bytes(),
          .process_pss_bytes = proportional_resident_bytes(),
          .wire_bytes_sent_planned = p_.wire.planned().sent.bytes,
          .wire_bytes_sent_measured = sent.bytes,
          .messages_sent = sent.messages,
          .node_bytes_read_planned = p_.wire.planned().read,
          .node_bytes_read_measured = p_.wire.comm().traffic().read,
          .gemm_flops = gemm_flops_,
          .allocations_after_step_2 = heap_calls < 0 ? -1 : allocations_,
          .page_faults_after_step_2 = faults_};
}

const ir::Node* Loop::current() const {
  for (const PhaseRun& phase : phases_)
    if (const ir::Node* node = phase.program().current()) return node;
  return evaluator_.current();
}

}  // namespace ringmaster::train
