// SPDX-License-Identifier: Apache-2.0
// session: everything that is compiled for one rank. Programs are the part without memory (plan and --dump-graph need no more);
// a Session adds the arena and the executors bound to it.
#pragma once
#include "checkpoint/safetensors.h"
#include "comm/comm.h"
#include "config/load.h"
#include "config/value.h"
#include "core/error.h"
#include "exec/arena.h"
#include "exec/executor.h"
#include "models/recipe.h"
#include "passes/passes.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ringmaster::train {

struct ProgramOptions {
  bool train = false, validation = false, sampler = false;  // which programs
  bool decoder = false;  // the sampler a token at a time, if the recipe has one; its caches are states
  exec::Team team = {};
  int threads = 1;
  bool explain = false;                // what recompute saves and costs, for a plan
  const cost::Table* costs = nullptr;  // what instructions take, where a budget is planned for; null: estimates
  std::string dump_graph;              // folder; empty: nowhere
  std::vector<std::string> disabled_passes;
  std::function<void(const std::string&)> log;  // one line a pass; may be empty
};

// A program ready to be bound to an arena.
struct Compiled {
  ir::Graph graph;
  std::string common_hash;  // of the graph before the ranks of a node divided it: the same on every rank
  exec::Prepared prepared;
  ir::Placement placement;
  passes::Recomputed recomputed;  // where ProgramOptions::explain asks for it
};

struct Programs {
  DType compute = DType::f32;        // of products: precision.compute
  std::vector<std::string> shadows;  // weights that have a shadow in it
  bool split = false;                // they are kept in two halves: precision.master
  passes::Checkpointing checkpointing = passes::Checkpointing::none;
  config::Budget budget;  // of Checkpointing::budget
  std::unique_ptr<models::Recipe> recipe;
  std::vector<ir::State> states;  // of the run, in arena order: weights, what optimizers keep, caches
  ir::StateLayout layout;
  exec::Team team;
  int64_t num_grains = 1;
  exec::Deal deal;                 // of this rank
  std::vector<Compiled> compiled;  // train, validation, sampler, decoder, as asked for

  const Compiled* find(std::string_view name) const;  // null if it was not asked for
  int64_t peak_bytes() const;                         // of the highest program
  // Most that the process of the rank holds (VmHWM); its share of what all ranks of its node hold, which counts once what they share.
  int64_t process_bytes() const { return peak_bytes() + beside_arena(true); }
  int64_t node_share_bytes() const { return peak_bytes() + beside_arena(false); }
  int64_t beside_arena(bool per_process) const;  // of either; may be less than 0
  std::string graph_hash() const;                // over the common hashes; the same on every rank
  std::string hash() const;                      // and over the layout of this rank
};
// Throws Error: unknown recipe, passes that do not exist, shapes that do not fit.
Programs compile(const config::Config& config, const ProgramOptions& options);
// The recipe by name; an unknown one is an Error (config) with the nearest.
std::unique_ptr<models::Recipe> make_recipe(const config::Config& config);
// All that can be wrong between a recipe and its configuration, at the line or flag that is to blame: an unknown recipe, data that it
// can not read, keys that it has no use for.
void check_recipe(const config::Resolved& resolved);

// `info` at the line or flag that gave its key; the file that it named stays in its message.
ErrorInfo at_its_key(const config::Resolved& resolved, ErrorInfo info);

struct SessionOptions {
  ProgramOptions programs;  // the team is taken from the communicator
  bool profile = false;
  std::function<void(ir::Placement&)> adjust = {};  // for tests: spoils the plan after it is made
};

// The machine grants a process less than its plan needs; bytes of a rank's process.
struct MemoryError : Error {
  MemoryError(ErrorInfo info, int64_t granted) : Error(std::move(info)), granted_bytes(granted) {}
  int64_t granted_bytes;
};

// What to say where some ranks have nothing to do, or "".
std::string about_idle_ranks(int64_t num_grains, int ranks);

class Session {
 public:
  // Compiles and checks that the machine grants the process (MemoryError). `comm` must outlive the session. Talks to no other rank,
  // and so has no memory yet where ranks of a node share it (comm.shared_memory, and only to train).
  Session(const config::Config& config, comm::Communicator& comm, const SessionOptions& options);
  // Takes the memory, paints it, and binds the programs to it. All ranks call it. Blocks.
  void allocate();

  const config::Config& config() const { return config_; }
  const Programs& programs() const { return programs_; }
  const models::Recipe& recipe() const { return *programs_.recipe; }
  exec::Executor& executor(std::string_view program);  // CHECKs that it was asked for
  const std::vector<std::unique_ptr<exec::Executor>>& executors() const { return executors_; }
  const exec::Arena& arena() const { return *arena_; }
  int threads() const { return threads_; }

  void* state(const std::string& name) const;  // in the arena, dense row-major; of a split weight see tensor()
  // A state as checkpoints hold it: f32 under its name, of a split weight from both halves. Points into the arena.
  checkpoint::TensorEntry tensor(const ir::State& state) const;
  // Sets elements [begin, begin + n) of a state from dense row-major bytes of its type, which may be unaligned, and with a weight
  // its shadow and remainder. Of what the ranks of a node have in common only the first of them writes: who reads it next waits for
  // that rank before (any collective of all ranks).
  void write(const ir::State& state, const void* bytes, int64_t begin, int64_t n) const;
  void clear(const ir::State& state) const;  // likewise; all bytes 0
  void initialise(uint64_t seed);            // weights by their initialisers, averages like them, everything else 0

  int64_t planned_peak_bytes() const;  // of the programs that have run
  int64_t measured_peak_bytes() const { return arena_->touched_bytes(); }

 private:
  bool is_split(const ir::State& state) const;
  bool writes(const ir::State& state) const;  // here, and not another rank of the node

  config::Config config_;
  SessionOptions options_;
  exec::Fabric fabric_;
  Programs programs_;
  int threads_ = 1;
  std::unique_ptr<exec::Arena> arena_;
  std::vector<std::unique_ptr<exec::Executor>> executors_;
};

}  // namespace ringmaster::train
