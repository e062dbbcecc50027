// SPDX-License-Identifier: Apache-2.0
#include "train/session.h"

#include "config/schema.h"
#include "config/value.h"
#include "core/error.h"
#include "core/halves.h"
#include "core/sha256.h"
#include "data/open.h"
#include "models/models.h"
#include "nn/optimizer.h"
#include "passes/passes.h"
#include "train/machine.h"
#include "train/terminal.h"

#include <malloc.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace ringmaster::train {
namespace {

// Samplers are not dealt: each rank runs whole sequences.
bool is_dealt(const ir::Graph& graph) { return graph.name() != "sampler" && graph.name() != "decoder"; }

// Samplers speak in f32: their rows must have the same bits for any number of rows.
Compiled transform(ir::Graph graph, const Programs& programs, const ProgramOptions& options) {
  const bool dealt = is_dealt(graph);
  passes::Recomputed recomputed;
  passes::run(graph,
              {.ranks = dealt ? options.team.size : 1,
               .node_ranks = dealt ? options.team.node_size : 1,
               .compute = dealt ? programs.compute : DType::f32,
               .shadows = programs.shadows,
               .split = programs.split,
               .one_grain = !dealt || programs.num_grains <= options.team.size,
               .checkpointing = programs.checkpointing,
               .budget_bytes = programs.budget.bytes,
               .budget_share = programs.budget.share,
               .costs = options.costs,
               .recomputed = options.explain ? &recomputed : nullptr},
              {.dump_folder = options.dump_graph, .disabled = options.disabled_passes, .log = options.log});
  std::string hash = sha256_hex(ir::print(graph));
  if (dealt && options.team.shares()) {
    const std::string effect = passes::partition(graph, options.team.node_rank);
    if (options.log) options.log(fmt::format("{}: partition: {}", graph.name(), effect));
    if (!options.dump_graph.empty())
      write_file_atomic(Path(options.dump_graph) / fmt::format("{}-rank{}.txt", graph.name(), options.team.rank),
                        ir::print(graph));
  }
  return {.graph = std::move(graph), .common_hash = std::move(hash), .recomputed = std::move(recomputed)};
}

// Kernels and places, once it is known how much of the arena the ranks of a node share.
void place_program(Compiled& program, const Programs& programs, const ProgramOptions& options) {
  const bool dealt = is_dealt(program.graph);
  program.prepared = exec::prepare(program.graph, {.threads = options.threads, .team = options.team});
  program.placement = passes::place(program.graph, {.local_grains = dealt ? programs.deal.count : 1,
                                                    .scratch_bytes = program.prepared.scratch_bytes,
                                                    .states = &programs.layout});
  if (options.log)
    options.log(fmt::format("{}: place: peak {} bytes", program.graph.name(), program.placement.peak_bytes));
}

// Exit 3 and not a visit by the out-of-memory killer.
void check_memory(const Programs& programs, const comm::Communicator& comm) {
  const MemoryLimit limit = memory_limit(comm.node_size());
  const int64_t bytes = limit.per_process ? programs.process_bytes() : programs.node_share_bytes();
  if (limit.bytes == 0 || bytes <= limit.bytes) return;
  const bool shared = !limit.per_process && comm.node_size() > 1;
  const std::string grants =
      shared ? fmt::format("{} ({}, shared by {} ranks)", bytes_text(limit.bytes), limit.source, comm.node_size())
             : fmt::format("{} ({})", bytes_text(limit.bytes), limit.source);
  throw MemoryError(
      {.kind = ErrorKind::memory,
       .message = fmt::format("the plan needs {} a rank, the machine grants {}", bytes_text(bytes), grants),
       .found = fmt::format("{} bytes", bytes),
       .expected = fmt::format("at most {} bytes", limit.bytes),
       .cure = fmt::format("lower training.grain_size, training.seq_len or the model's size, or save fewer activations "
                           "(activation_checkpoint.mode){}",
                           shared ? ", or use fewer ranks on this node" : "")},
      limit.bytes);
}

// The recipe reads nothing that the source does not give, and a second set is there for whoever reads it alone. The errors know
// the key, not where it was given.
void check_inputs(const config::Config& c, const models::Recipe& recipe) {
  const data::Offer offer = data::offer(c);
  const auto text = [](const std::string& name, DType dtype, const Shape& shape) {
    return fmt::format("{} {}", name, ir::str(ir::Type{dtype, shape}));
  };
  bool reads_second = false;
  for (const models::InputSpec& input : recipe.inputs) {
    const bool second = input.name == "y" && c.data.source == "generated";
    reads_second = reads_second || second;
    const auto same = [&](const data::Field& f) {
      return f.name == input.name && f.dtype == input.dtype && f.shape == input.sample;
    };
    if (std::any_of(offer.fields.begin(), offer.fields.end(), same)) continue;
    std::vector<std::string> offered;
    for (const data::Field& f : offer.fields) offered.push_back(text(f.name, f.dtype, f.shape));
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("the recipe {} reads {}, which `data.source: {}` does not give", recipe.name(),
                                        text(input.name, input.dtype, input.sample), c.data.source),
                 .key = second ? "data.other_set" : "data.source",
                 .found = fmt::format("{}: {}", offer.source, fmt::join(offered, ", ")),
                 .expected = text(input.name, input.dtype, input.sample),
                 .cure = second ? "set data.other_set to the set to compare with"
                                : fmt::format("set data.source to {}, or choose another model.recipe",
                                              c.data.source == "file" ? "generated" : "file")});
  }
  if (c.data.other_set == "none" || reads_second) return;
  throw Error({.kind = ErrorKind::config,
               .message = fmt::format("`data.other_set` is given, but the recipe {} reads one set", recipe.name()),
               .key = "data.other_set",
               .found = c.data.other_set,
               .expected = "none",
               .cure = "remove `data.other_set`"});
}

ErrorInfo unknown_recipe(const config::Config& config, ErrorInfo info) {
  std::vector<std::string> known;
  for (const models::Entry& entry : models::all()) known.emplace_back(entry.name);
  const std::string hint = nearest(config.model.recipe, known);
  info.message = fmt::format("unknown recipe `{}`", config.model.recipe);
  info.found = config.model.recipe;
  info.expected = fmt::format("one of: {}", fmt::join(known, ", "));
  info.cure = hint.empty() ? "the command `models` lists them" : fmt::format("did you mean `{}`?", hint);
  return info;
}

}  // namespace

std::unique_ptr<models::Recipe> make_recipe(const config::Config& config) {
  if (const models::Entry* entry = models::find(config.model.recipe)) return entry->make(config);
  throw Error(unknown_recipe(config, {.kind = ErrorKind::config, .key = "model.recipe"}));
}

ErrorInfo at_its_key(const config::Resolved& resolved, ErrorInfo info) {
  if (config::find_key(info.key) == nullptr) return info;
  const ErrorInfo place = config::error_at(resolved, info.key, "");
  if (info.message.find(info.file) == std::string::npos) info.message = fmt::format("{}: {}", info.file, info.message);
  info.file = place.file;
  info.line = place.line;
  info.column = place.column;
  info.excerpt = place.excerpt;
  return info;
}

namespace {

void check_keeps_best(const config::Config& c, const models::Recipe& recipe) {
  if (!c.checkpoint.keep_best || recipe.evaluators.front().ranks_steps) return;
  throw Error(
      {.kind = ErrorKind::config,
       .message = fmt::format(
           "`checkpoint.keep_best` is given, but the validation of {} does not say which step is best", recipe.name()),
       .key = "checkpoint.keep_best",
       .found = "true",
       .expected = "false",
       .cure = "remove `checkpoint.keep_best`; checkpoint.keep_latest_k keeps more of them"});
}

}  // namespace

void check_recipe(const config::Resolved& resolved) {
  const config::Config& c = resolved.config;
  if (models::find(c.model.recipe) == nullptr)
    throw Error(unknown_recipe(c, config::error_at(resolved, "model.recipe", "")));
  try {
    const auto recipe = make_recipe(c);
    check_inputs(c, *recipe);
    models::all_states(*recipe, c);
    check_keeps_best(c, *recipe);
  } catch (const Error& e) {
    if (!e.info().file.empty()) throw;
    throw Error(at_its_key(resolved, e.info()));
  }
}

namespace {

// With 16-bit products the weights that they read have a copy in that dtype.
void add_shadows(Programs& programs, const std::vector<ir::Graph>& graphs, const config::Config& config) {
  programs.compute = *dtype_from_name(config.precision.compute);
  if (programs.compute == DType::f32) return;
  for (const ir::Graph& graph : graphs)
    for (const std::string& weight : passes::weights_of_products(graph))
      if (std::ranges::find(programs.shadows, weight) == programs.shadows.end()) programs.shadows.push_back(weight);
  programs.split = config.precision.master == "split";
  for (const std::string& weight : programs.shadows) {
    const Shape& shape = graphs.front().find_state(weight)->type.shape;
    programs.states.push_back({ir::shadow_name(weight), {programs.compute, shape}, ir::StateRole::shadow});
    if (programs.split)
      programs.states.push_back({ir::remainder_name(weight), {DType::u16, shape}, ir::StateRole::remainder});
  }
}

}  // namespace

Programs compile(const config::Config& config, const ProgramOptions& options) {
  passes::check_disabled(options.disabled_passes);
  Programs programs;
  programs.recipe = make_recipe(config);
  programs.checkpointing = *passes::checkpointing_from_name(config.activation_checkpoint.mode);
  programs.budget = config::parse_budget(config.activation_checkpoint.budget).value_or(config::Budget{});
  if (options.train || options.validation) check_inputs(config, *programs.recipe);
  for (ir::State& state : models::all_states(*programs.recipe, config))
    if (options.train || state.role == ir::StateRole::weight) programs.states.push_back(std::move(state));
  std::vector<ir::Graph> graphs;
  if (options.train)
    for (const models::Phase& phase : programs.recipe->phases)
      graphs.push_back(models::trace_phase(*programs.recipe, phase, config));
  if (options.validation) {
    for (const models::Evaluator& evaluator : programs.recipe->evaluators)
      graphs.push_back(models::trace_evaluator(*programs.recipe, evaluator, config));
  }
  add_shadows(programs, graphs, config);
  std::optional<ir::Graph> decoder;
  if (options.decoder && programs.recipe->sampler.decoder.logits) {
    decoder = models::trace_decoder(*programs.recipe, config);
    for (const ir::State& state : decoder->states())
      if (state.role == ir::StateRole::cache) programs.states.push_back(state);
  }
  programs.team = options.team;
  programs.num_grains = config.training.global_batch_size / config.training.grain_size;
  programs.deal = exec::deal(programs.num_grains, options.team.rank, options.team.size);
  const auto add = [&](ir::Graph graph) {
    programs.compiled.push_back(transform(std::move(graph), programs, options));
  };
  for (ir::Graph& graph : graphs) add(std::move(graph));
  if (options.sampler) add(models::trace_sampler(*programs.recipe, config));
  if (decoder) add(std::move(*decoder));
  int64_t exchange = 0;
  for (const Compiled& program : programs.compiled)
    if (options.team.shares()) exchange = std::max(exchange, ir::exchanged_bytes(program.graph));
  programs.layout = ir::lay_out(programs.states, exchange);
  for (Compiled& program : programs.compiled) place_program(program, programs, options);
  return programs;
}

const Compiled* Programs::find(std::string_view name) const {
  for (const Compiled& program : compiled)
    if (program.graph.name() == name) return &program;
  return nullptr;
}

int64_t Programs::peak_bytes() const {
  int64_t peak = layout.end;
  for (const Compiled& program : compiled) peak = std::max(peak, program.placement.peak_bytes);
  return peak;
}

// Each rank maps the segments of the others.
int64_t Programs::beside_arena(bool per_process) const {
  const int64_t shared = per_process ? (team.node_size - 1) * layout.exchange_bytes
                                     : layout.shared_bytes / team.node_size - layout.shared_bytes;
  return beside_the_arena(team.size) + shared;
}

std::string Programs::graph_hash() const {
  Sha256 sha;
  for (const Compiled& program : compiled) sha.update(program.common_hash);
  return sha.hex();
}

std::string Programs::hash() const {
  std::string text = graph_hash();
  for (const Compiled& program : compiled) text += "\n" + sha256_hex(ir::print(program.graph));
  for (const auto& [name, offset] : layout.offset) text += fmt::format("\n{} {}", name, offset);
  for (const Compiled& program : compiled) {
    for (const ir::Place& place : program.placement.values)
      text += fmt::format("\n{} {}", place.offset, place.grain_stride);
    text += fmt::format("\npeak {}", program.placement.peak_bytes);
  }
  return sha256_hex(text);
}

std::string about_idle_ranks(int64_t num_grains, int ranks) {
  if (ranks <= num_grains) return "";
  return fmt::format("{} of {} ranks {} idle: a step has {} grain{}; use {} rank{}, or a smaller training.grain_size",
                     ranks - num_grains, ranks, ranks - num_grains == 1 ? "is" : "are", num_grains,
                     num_grains == 1 ? "" : "s", num_grains, num_grains == 1 ? "" : "s");
}

Session::Session(const config::Config& config, comm::Communicator& comm, const SessionOptions& options)
    : config_(config),
      options_(options),
      fabric_(comm, config.comm.shared_memory && options.programs.train),
      threads_(options.programs.threads) {
  options_.programs.team = fabric_.team();
  omp_set_num_threads(threads_);  // of this thread's teams; the environment has no say
  programs_ = compile(config, options_.programs);
  ::malloc_trim(0);  // what planning took is given back before the arena is touched, not kept beside it
  check_memory(programs_, comm);
  if (!fabric_.team().shares()) allocate();
}

void Session::allocate() {
  if (arena_ != nullptr) return;
  const ir::StateLayout& layout = programs_.layout;
  arena_ = std::make_unique<exec::Arena>(programs_.peak_bytes(),
                                         exec::ArenaShares{layout.shared_bytes, layout.exchange_bytes});
  fabric_.share(*arena_);
  arena_->paint();
  for (const ir::State& s : programs_.states)  // rows that no token has reached meet weights of 0: they must be finite
    if (s.role == ir::StateRole::cache) clear(s);
  for (Compiled& program : programs_.compiled) {
    if (options_.adjust) options_.adjust(program.placement);
    const bool dealt = is_dealt(program.graph);
    executors_.push_back(
        std::make_unique<exec::Executor>(program.graph, program.prepared, program.placement, layout, *arena_, fabric_,
                                         exec::Executor::Options{.threads = threads_,
                                                                 .num_grains = dealt ? programs_.num_grains : 1,
                                                                 .deal = dealt ? programs_.deal : exec::Deal{0, 1},
                                                                 .profile = options_.profile}));
  }
}

exec::Executor& Session::executor(std::string_view program) {
  for (const auto& executor : executors_)
    if (executor->graph().name() == program) return *executor;
  CHECK(false, "the session has no program {}", program);
  return *executors_.front();
}

void* Session::state(const std::string& name) const {
  const auto found = programs_.layout.offset.find(name);
  CHECK(found != programs_.layout.offset.end(), "the state {} has no memory of its own", name);
  return arena_->data() + found->second;
}

bool Session::is_split(const ir::State& s) const {
  return programs_.layout.offset.contains(ir::remainder_name(s.name));
}

checkpoint::TensorEntry Session::tensor(const ir::State& s) const {
  if (!is_split(s)) return {s.name, s.type.dtype, s.type.shape, state(s.name)};
  return {s.name, s.type.dtype, s.type.shape, state(ir::shadow_name(s.name)),
          static_cast<const uint16_t*>(state(ir::remainder_name(s.name)))};
}

bool Session::writes(const ir::State& s) const {
  return !ir::is_divided(s.role) || !fabric_.team().shares() || fabric_.team().node_rank == 0;
}

void Session::clear(const ir::State& s) const {
  if (writes(s)) std::memset(state(s.name), 0, static_cast<size_t>(s.type.bytes()));
}

void Session::write(const ir::State& s, const void* bytes, int64_t begin, int64_t n) const {
  if (!writes(s)) return;
  const std::string shadow = ir::shadow_name(s.name);
  if (is_split(s)) {
    split_into(static_cast<bf16*>(state(shadow)) + begin,
               static_cast<uint16_t*>(state(ir::remainder_name(s.name))) + begin, bytes, n);
    return;
  }
  char* to = static_cast<char*>(state(s.name)) + begin * size_of(s.type.dtype);
  std::memcpy(to, bytes, static_cast<size_t>(n * size_of(s.type.dtype)));
  if (!programs_.layout.offset.contains(shadow)) return;
  const auto* from = reinterpret_cast<const float*>(to);
  if (programs_.compute == DType::f16)
    std::transform(from, from + n, static_cast<f16*>(state(shadow)) + begin, to_f16);
  else
    std::transform(from, from + n, static_cast<bf16*>(state(shadow)) + begin, to_bf16);
}

void Session::initialise(uint64_t seed) {
  omp_set_num_threads(threads_);
  const ir::StateLayout& layout = programs_.layout;
  for (const ir::State& state : programs_.states)
    if (layout.offset.contains(state.name)) clear(state);
  std::vector<float> piece(1 << 18);  // of a weight that may have no f32 memory of its own
  for (const nn::Network& network : recipe().networks()) {
    for (const nn::Parameter& p : network.parameters()) {
      const ir::State weight{p.name, {DType::f32, p.shape}, ir::StateRole::weight};
      const ir::State average{nn::average_name(p.name), weight.type, ir::StateRole::average};
      if (!writes(weight)) continue;
      const int64_t n = p.shape.elements(), step = std::ssize(piece);
      for (int64_t begin = 0; begin < n; begin += step) {
        const std::span<float> values(piece.data(), static_cast<size_t>(std::min(step, n - begin)));
        nn::initialise(p, seed, begin, values);
        write(weight, values.data(), begin, std::ssize(values));
        if (layout.offset.contains(average.name)) write(average, values.data(), begin, std::ssize(values));
      }
    }
  }
}

int64_t Session::planned_peak_bytes() const {
  int64_t peak = programs_.layout.end;
  for (const auto& executor : executors_)
    if (executor->has_run()) peak = std::max(peak, executor->placement().peak_bytes);
  return peak;
}

}  // namespace ringmaster::train
