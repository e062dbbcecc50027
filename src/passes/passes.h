// SPDX-License-Identifier: Apache-2.0
// passes: every pass has the signature of PassFunction, reads the settings and returns one line about its effect. They run in
// the order of pipeline.cpp, each followed by ir::verify.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cost/table.h"
#include "ir/graph.h"
#include "ir/placement.h"

namespace ringmaster::passes {

// Gradient checkpointing (config activation_checkpoint): what of forward is not saved.
enum class Checkpointing { none, block, selective, budget };
std::optional<Checkpointing> checkpointing_from_name(std::string_view name);

// What `tag` decided, of a grain. Seconds are those of the cost table.
struct Recomputed {
  int64_t bytes_of_none = 0;        // activations at their peak, were all saved
  int64_t saved_bytes_of_none = 0;  // and what of them backward reads
  std::map<std::string, int64_t>
      not_saved;  // bytes that backward reads and makes again, by block of the model, or scope
  // where there is a budget:
  int64_t budget_bytes = 0, minimum_bytes = 0;  // minimum: what the least budget would have to be
  std::optional<double> lower_bound_seconds;    // what is made again takes no less within the budget
};

struct Settings {
  int ranks = 1;
  int node_ranks = 1;                      // of them share memory with this one
  DType compute = DType::f32;              // of products
  std::span<const std::string> shadows{};  // weights that have a shadow in it
  bool split = false;                      // those weights are kept in two halves (split_masters.cpp)
  bool one_grain = false;                  // no rank runs a second one (Traits::sums_one_grain)
  Checkpointing checkpointing = Checkpointing::none;
  int64_t budget_bytes = 0;            // of activations (Checkpointing::budget); or
  double budget_share = 0;             // of what mode none needs
  const cost::Table* costs = nullptr;  // null: estimates
  Recomputed* recomputed = nullptr;    // filled by `tag`
};

using PassFunction = std::string (*)(ir::Graph&, const Settings&);

std::string autodiff(ir::Graph& graph, const Settings& settings);
std::string autocast(ir::Graph& graph, const Settings& settings);
std::string split_masters(ir::Graph& graph, const Settings& settings);
std::string canonicalise(ir::Graph& graph, const Settings& settings);
std::string reuse(ir::Graph& graph, const Settings& settings);
std::string fuse(ir::Graph& graph, const Settings& settings);
std::string shard(ir::Graph& graph, const Settings& settings);
std::string tag(ir::Graph& graph, const Settings& settings);
std::string recompute(ir::Graph& graph, const Settings& settings);
std::string schedule(ir::Graph& graph, const Settings& settings);

// The weights that products read, in the order of the trace: with 16 bits each has a shadow.
std::vector<std::string> weights_of_products(const ir::Graph& graph);

struct Pass {
  const char* name;
  PassFunction run;
  bool required = false;  // the program has no meaning without it: --disable-pass refuses
};
std::span<const Pass> pipeline();

struct RunOptions {
  std::string dump_folder;                      // IR after each pass goes to NN-name.txt; empty: nowhere
  std::vector<std::string> disabled;            // names; checked by check_disabled()
  std::function<void(const std::string&)> log;  // one line a pass; may be null
};
void run(ir::Graph& graph, const Settings& settings, const RunOptions& options = {});

// Throws Error (usage) naming the passes that can be disabled.
void check_disabled(std::span<const std::string> names);

// ---- partition: what of a program is this rank's, where the ranks of a node divide a step (partition.cpp)
std::string partition(ir::Graph& graph, int node_rank);

// ---- place: the last pass; where every value lies in the arena (place.cpp)
struct PlaceOptions {
  int64_t local_grains = 1;                 // of this rank; 0: the grain regions do not run here
  std::vector<int64_t> scratch_bytes;       // by node id
  const ir::StateLayout* states = nullptr;  // of all programs of a run; says whether ranks of a node share memory
};
ir::Placement place(const ir::Graph& graph, const PlaceOptions& options);
// The buffers of place without an offset: what lives when, with one grain and without scratch.
std::vector<ir::Buffer> lifetimes(const ir::Graph& graph);

}  // namespace ringmaster::passes
