// SPDX-License-Identifier: Apache-2.0
// The life of a run around its loop: what is agreed before step 1, and how every end is told.
#include "train/train.h"

#include "checkpoint/run_folder.h"
#include "config/show.h"
#include "models/models.h"
#include "passes/passes.h"
#include "train/advice.h"
#include "train/comm_choice.h"
#include "train/costs.h"
#include "train/loop.h"
#include "train/machine.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace ringmaster::train {
namespace {

// What one process finds out before anything exists.
struct Checked {
  data::Opened data;
  std::string data_hash;
  std::string checkpoint;  // to go on from; "" = from scratch
  bool finished = false;   // it is of the last step
};

void check_resume(const TrainOptions& options, const Path& checkpoint, Checked& checked) {
  const config::Resolved& now = options.resolved;
  const checkpoint::Loaded loaded = checkpoint::open(checkpoint);
  const config::Config saved = saved_config(loaded, {}).config;
  checked.checkpoint = checkpoint.string();
  const RunState state = run_state(loaded);
  if (state.imported()) return check_same_model(now, saved, checkpoint);
  check_same_run(now, saved, options.resume == Resume::automatic ? config::Effect::input : config::Effect::numbers,
                 checkpoint);
  if (state.data_hash != checked.data_hash) {
    ErrorInfo info = config::error_at(now, "data.path", "the data is not what the run to resume was trained on");
    info.found = "SHA-256 " + checked.data_hash;
    info.expected = "SHA-256 " + state.data_hash;
    info.cure = "restore the data, or start anew: --run-dir with another folder";
    throw Error(info);
  }
  checked.finished = state.step >= now.config.training.steps;
}

// Errors about the data know the key, not where that was given.
template <typename Body> auto at_their_keys(const config::Resolved& resolved, const Body& body) {
  try {
    return body();
  } catch (const Error& e) { throw Error(at_its_key(resolved, e.info())); }
}

Checked check_run(const TrainOptions& options) {
  const config::Resolved& resolved = options.resolved;
  const config::Config& c = resolved.config;
  passes::check_disabled(options.disabled_passes);
  check_recipe(resolved);
  const auto recipe = make_recipe(c);
  for (const models::Phase& phase : recipe->phases)
    models::trace_phase(*recipe, phase, c);  // shapes that do not fit throw
  config::require_data(resolved);
  Checked checked{.data = at_their_keys(resolved, [&] { return data::open(c); })};
  const Path run = c.output.dir;
  checkpoint::RunFolder::check(run);
  checked.data_hash = at_their_keys(resolved, [&] { return data::hash(checked.data, c); });
  if (options.resume == Resume::folder) {
    check_resume(options, locate(options.resume_from), checked);
  } else if (options.resume == Resume::automatic && std::filesystem::exists(run)) {
    if (const auto found = checkpoint::latest(run)) check_resume(options, found->path, checked);
  }
  return checked;
}

class Run {
 public:
  Run(const TrainOptions& options, comm::Communicator& comm)
      : options_(options),
        resolved_(options.resolved),
        wire_(comm),
        root_(comm.rank() == 0),
        log_(comm.rank()),
        terminal_({.silent = options.quiet || !root_,
                   .columns = options.terminal_columns,
                   .log_freq = options.resolved.config.metrics.log_freq}) {}

  int run() {
    try {
      return train();
    } catch (const AgreedError& e) { return end_together(e.info()); } catch (const comm::TimeoutError& e) {
      return end_alone(e.info(), &e.waiting());
    } catch (const std::exception& e) { return end_alone(describe(e), nullptr); }
  }

 private:
  int train() {
    warn_about_environment();
    if (!agree_on_the_run()) {
      if (root_)
        terminal_.note(
            fmt::format("{} is finished: {}; raise training.steps to go on", resolved_.config.output.dir, checkpoint_));
      return 0;
    }
    build_session();
    claim_folder();
    load_states();
    loop_.emplace(LoopParts{resolved_, options_.attempt, wire_, *session_, data_, terminal_,
                            metrics_ ? &*metrics_ : nullptr, progress_});
    const End end = loop_->run();
    if (end.status == "diverged" && root_) {
      const bool scales = models::scales_losses(resolved_.config);
      report(failure(
          {.message = loop_->divergence().what,
           .cure = fmt::format("{}lower optimizer.lr, lengthen lr_scheduler.warmup_steps, or clip with a smaller "
                               "training.max_norm, in another --run-dir: a resumed run keeps these; {}",
                               scales ? "set precision.compute: bf16, as f16 ends at 65504; or " : "",
                               loop_->divergence().aftermath)}));
    }
    finish(end);
    return end.exit_code;
  }

  void warn_about_environment() {
    const char* threads = std::getenv("OMP_NUM_THREADS");
    if (threads != nullptr && root_)
      terminal_.error(
          fmt::format("OMP_NUM_THREADS is ignored: threads come from launch.threads_per_rank ({})\n", num_threads()));
  }
  int num_threads() const {
    return threads_per_rank(resolved_.config.launch.threads_per_rank, wire_.comm().node_size());
  }

  // Rank 0 checks, all learn what it found. False: there is nothing left to do.
  bool agree_on_the_run() {
    Checked checked;
    wire_.agree("check", [&] {
      if (root_) checked = check_run(options_);
    });
    const std::string mine = root_ ? dump(Json{checked.checkpoint, checked.data_hash, checked.finished}) : "";
    const Json found = Json::parse(wire_.gather("check", mine).front());
    checkpoint_ = found[0];
    data_hash_ = found[1];
    data_ = std::move(checked.data);
    return !found[2].get<bool>();
  }

  void build_session() {
    costs_ = share_costs(wire_, num_threads());
    choose_algorithms(wire_, resolved_.config.comm);
    SessionOptions session;
    session.programs = {.train = true,
                        .validation = true,
                        .threads = num_threads(),
                        .costs = &costs_,
                        .dump_graph = root_ ? options_.dump_graph : "",
                        .disabled_passes = options_.disabled_passes,
                        .log = [&](const std::string& line) { log_.line(line); }};
    int64_t granted = 0;  // where this rank gets less than it needs
    try {
      wire_.agree("session", [&] {
        if (!root_) data_ = data::open(resolved_.config);
        try {
          session_.emplace(resolved_.config, wire_.comm(), session);
        } catch (const MemoryError& e) {
          granted = e.granted_bytes;
          throw;
        }
      });
    } catch (const AgreedError& e) { throw advised(e, session.programs, granted); }
    const std::string mine = session_->programs().graph_hash() + config::config_hash(resolved_.config);
    const std::vector<std::string> plans = wire_.gather("plan", mine);
    wire_.agree("plan", [&] {
      if (plans[static_cast<size_t>(wire_.comm().rank())] == plans.front()) return;
      throw Error({.kind = ErrorKind::rank,
                   .message = "compiled another program, or read another configuration, than rank 0",
                   .cure = "run the same build with the same configuration on every node"});
    });
    session_->allocate();
    wire_.shared(session_->programs().team);
    log_collectives();
    facts_ = {.ranks = wire_.comm().size(),
              .threads = num_threads(),
              .parameters = session_->recipe().num_parameters(),
              .compute = resolved_.config.precision.compute,
              .cpu = cpu_name(),
              .isa = isa(),
              .version = version(),
              .build_hash = build_hash(),
              .config_hash = config::config_hash(resolved_.config),
              .data_hash = data_hash_,
              .plan_hash = session_->programs().hash(),
              .predicted_step_seconds = step_seconds(session_->programs(), costs_),
              .calibrated = is_calibrated(session_->programs(), costs_),
              .numerics = resolved_.config.training.numerics,
              .wire = models::adds_integers(resolved_.config) ? "int32" : "f32"};
    terminal_.units(data::offer(resolved_.config).items, session_->recipe().evaluators.front().unit);
    terminal_.headline({.name = Path(resolved_.file).stem().string(),
                        .parameters = facts_.parameters,
                        .ranks = facts_.ranks,
                        .threads = facts_.threads,
                        .compute = resolved_.config.precision.compute,
                        .isa = facts_.isa,
                        .plan_bytes = session_->programs().peak_bytes()});
    const std::string idle = about_idle_ranks(session_->programs().num_grains, facts_.ranks);
    if (!idle.empty() && root_) terminal_.note(idle);
  }

  void log_collectives() {
    for (const models::Phase& phase : session_->recipe().phases)
      for (const PlannedCollective& one :
           collectives_of(session_->programs().find(phase.name)->graph, session_->programs().team))
        log_.line(fmt::format("{}: sum of {} bytes by {}", one.program, one.bytes, one.algorithm));
  }

  // Where memory is short, with what `plan` would say of the rank that gets least; every rank is here.
  AgreedError advised(const AgreedError& e, ProgramOptions programs, int64_t granted) {
    int64_t least = 0;
    for (const std::string& text : wire_.gather("granted", std::to_string(granted)))
      if (const int64_t bytes = std::stoll(text); bytes > 0 && (least == 0 || bytes < least)) least = bytes;
    if (!root_ || least == 0) return e;
    programs.team =
        exec::team_of(wire_.comm(), resolved_.config.comm.shared_memory);  // of rank 0, with as many grains as any
    programs.dump_graph.clear();
    programs.log = nullptr;
    ErrorInfo info = e.info();
    const auto advice =
        advise(resolved_.config, programs, {least, memory_limit(wire_.comm().node_size()).per_process}, costs_);
    if (!advice.empty()) info.cure = as_cure(advice);
    return AgreedError(info);
  }

  void claim_folder() {
    const Path run = resolved_.config.output.dir;
    const Json self{{"rank", wire_.comm().rank()}, {"host", host_name()}, {"pid", ::getpid()}, {"device", "cpu"}};
    const std::vector<std::string> ranks = wire_.gather("launch", dump(self));
    wire_.agree("run folder", [&] {
      if (!root_) return;
      folder_.emplace(checkpoint::RunFolder::claim(run, version()));
      for (const char* of_the_last_start : {"failure.json", "summary.json"})
        std::filesystem::remove(run / of_the_last_start);
      write_file_atomic(run / "config.resolved.yaml", config::to_yaml(resolved_));
      Json launch{{"attempt", options_.attempt},
                  {"launcher_pid", options_.launcher_pid > 0 ? options_.launcher_pid : ::getpid()},
                  {"mpirun_pid", options_.mpirun_pid > 0 ? Json(options_.mpirun_pid) : Json(nullptr)},
                  {"command", options_.command},
                  {"ranks", Json::array()}};
      for (const std::string& rank : ranks) launch["ranks"].push_back(Json::parse(rank));
      write_json(run / "launch.json", launch);
    });
    claimed_ = true;
    log_.open(run, options_.attempt);
  }

  void load_states() {
    const config::Config& c = resolved_.config;
    progress_.state.data_hash = data_hash_;
    wire_.agree("load", [&] {
      if (checkpoint_.empty()) {
        session_->initialise(c.training.seed);
      } else {
        const checkpoint::Loaded loaded = checkpoint::open(checkpoint_);
        restore(*session_, loaded);
        progress_.state = run_state(loaded);
        progress_.state.data_hash = data_hash_;  // an import has none yet
      }
      if (root_) metrics_.emplace(Path(c.output.dir) / "metrics.jsonl", progress_.state.step);
    });
    if (checkpoint_.empty()) return;
    log_.line("resumed from " + checkpoint_);
    terminal_.note(progress_.state.step == 0
                       ? "starts from the weights of " + checkpoint_
                       : fmt::format("resumed at step {} from {}", progress_.state.step, checkpoint_));
  }

  // ---- ends
  double wall_seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  Failure failure(const ErrorInfo& e) const {
    Failure f{.rank = wire_.comm().rank(),
              .ranks = wire_.comm().size(),
              .host = host_name(),
              .step = progress_.state.step + 1,
              .phase = loop_ ? loop_->phase() : "load",
              .cause = e.file.empty() ? e.message : e.file + ": " + e.message,
              .cure = e.cure};
    if (const ir::Node* node = loop_ ? loop_->current() : nullptr) {
      f.instruction = node->op->name;
      f.scope = node->scope;
    }
    try {
      if (const auto found = checkpoint::latest(resolved_.config.output.dir))
        f.saved = fmt::format("step {} in {}", found->step, found->path.string());
    } catch (const std::exception&) { f.saved = "unknown: the newest checkpoint cannot be read"; }
    return f;
  }

  // The first of several failing ranks tells the story.
  void report(const Failure& f) {
    log_.line(fmt::format("{}: {}", f.phase, f.cause));
    bool first = true;
    try {
      first = write_first(Path(resolved_.config.output.dir) / "failure.json", dump(to_json(f), 2));
    } catch (const std::exception&) {  // a full disk must not hide the cause
    }
    if (first) terminal_.error(to_text(f));
  }

  // Every rank is here with the same error.
  int end_together(const ErrorInfo& e) {
    const int code = exit_code(e.kind);
    if (!claimed_) {
      if (root_) terminal_.error(render(e));
      return code;
    }
    if (root_) report(failure(e));
    finish({"failed", code});
    return code;
  }

  // The others do not know: they are told by the end of the job.
  int end_alone(const ErrorInfo& e, const comm::Waiting* waiting) {
    const End end{waiting != nullptr ? "timeout" : "failed", exit_code(e.kind)};
    if (claimed_) {
      Failure f = failure(e);
      if (waiting != nullptr) {
        f.waiting = {
            .rank = waiting->rank,
            .peer = waiting->peer,
            .sequence = waiting->sequence,
            .what = fmt::format("{} #{} ({})", comm::name(waiting->operation), waiting->sequence, waiting->name),
            .seconds = waiting->seconds};
      }
      report(f);
      write_summary(end, {});
    } else {
      terminal_.error(render(e));
    }
    if (options_.in_process) throw Error(e);
    if (wire_.comm().size() > 1) wire_.comm().abort(end.exit_code);
    return end.exit_code;
  }

  void finish(const End& end) {
    std::vector<std::optional<RankNumbers>> ranks = gather_numbers();
    log_.line(fmt::format("{} at step {}", end.status, progress_.state.step));
    if (!root_) return;
    write_summary(end, std::move(ranks));
    if (end.exit_code != 0 && end.status != "saved") return;
    const double step = median(progress_.step_seconds);
    terminal_.finish({.word = end.status,
                      .step = progress_.state.step,
                      .seconds = wall_seconds(),
                      .tokens_per_second = step > 0 ? static_cast<double>(progress_.tokens_per_step) / step : 0,
                      .validation = progress_.validation_loss,
                      .best = progress_.state.best_validation_loss,
                      .best_step = progress_.state.best_step,
                      .checkpoint = loop_->checkpoint_path(),
                      .best_checkpoint = loop_->best_path()},
                     loop_->curve());
  }

  // Point to point, so that what is reported about collectives does not change by reporting it.
  std::vector<std::optional<RankNumbers>> gather_numbers() {
    comm::Communicator& comm = wire_.comm();
    std::vector<std::optional<RankNumbers>> ranks(static_cast<size_t>(comm.size()));
    RankNumbers mine = loop_ ? loop_->numbers() : RankNumbers{};
    constexpr uint64_t tag = 1;
    if (!root_) comm::send(comm, std::as_bytes(std::span(&mine, 1)), 0, tag);
    ranks.front() = mine;
    for (int rank = 1; root_ && rank < comm.size(); ++rank) {
      RankNumbers theirs;
      comm::recv(comm, std::as_writable_bytes(std::span(&theirs, 1)), rank, tag);
      ranks[static_cast<size_t>(rank)] = theirs;
    }
    return ranks;
  }

  void write_summary(const End& end, std::vector<std::optional<RankNumbers>> ranks) {
    if (ranks.empty()) {
      ranks.resize(static_cast<size_t>(wire_.comm().size()));
      if (loop_) ranks[static_cast<size_t>(wire_.comm().rank())] = loop_->numbers();
    }
    progress_.wall_seconds = wall_seconds();
    try {
      write_json(Path(resolved_.config.output.dir) / "summary.json", summary_json(end, facts_, progress_, ranks));
    } catch (const Error& e) { terminal_.error(render(e.info())); }
  }

  const TrainOptions& options_;
  const config::Resolved& resolved_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Wire wire_;
  bool root_ = false;
  RankLog log_;
  Terminal terminal_;
  std::string checkpoint_, data_hash_;
  data::Opened data_;
  std::optional<Session> session_;
  std::optional<checkpoint::RunFolder> folder_;
  bool claimed_ = false;
  Facts facts_;
  std::optional<MetricsFile> metrics_;
  Progress progress_;
  cost::Table costs_;
  std::optional<Loop> loop_;
};

}  // namespace

const char* version() { return RINGMASTER_VERSION; }

void check(const TrainOptions& options) { check_run(options); }

int train(const TrainOptions& options, comm::Communicator& comm) { return Run(options, comm).run(); }

}  // namespace ringmaster::train
