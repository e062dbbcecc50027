// SPDX-License-Identifier: Apache-2.0
// saved: how a run is laid out in a checkpoint, both ways. A checkpoint knows the keys that decide numbers; ranks, hosts and
// paths are in the run folder's config.resolved.yaml alone.
#pragma once
#include "checkpoint/store.h"
#include "config/load.h"
#include "config/schema.h"
#include "train/session.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

// state.json: what a run must remember besides tensors. Nothing of the place or time where it ran.
struct RunState {
  int64_t step = 0;         // finished updates
  int64_t next_sample = 0;  // global index
  int64_t epoch = 0;        // of the last step's first sample
  std::string data_hash;    // "" in an import, which has weights and no past
  std::optional<double> best_validation_loss;
  int64_t best_step = 0;
  bool imported() const { return step == 0 && data_hash.empty(); }
};
nlohmann::json to_json(const RunState& state, uint64_t seed);
RunState run_state(const checkpoint::Loaded& loaded);

// The checkpoint folder that a run folder (its newest) or a checkpoint folder stands for. Throws Error (checkpoint).
Path locate(const Path& run_or_checkpoint);

// The configuration of a checkpoint; with a run folder around it, also that run's paths. `sets` as after --set.
config::Resolved saved_config(const checkpoint::Loaded& loaded, const std::vector<std::string>& sets);
// The run folder that a checkpoint stands in, if it stands in one.
std::optional<Path> run_folder_of(const Path& checkpoint_folder);

// The session's tensors, not copied: valid while the session lives and does not run.
// The first weight, or average of one, with an infinite element or one that is no number; "" if there is none.
std::string not_finite(const Session& session);

checkpoint::Content content(const Session& session, const config::Config& config, const RunState& state);
// Which weights a program runs with: those under training, or their moving averages where the checkpoint has them.
enum class WeightChoice : uint8_t { trained, averaged };
// Copies the session's tensors from the checkpoint; one that is absent or has another shape is an Error (checkpoint). After
// an import what an optimizer keeps is 0, and averages are the weights.
void restore(const Session& session, const checkpoint::Loaded& loaded, WeightChoice weights = WeightChoice::trained);

// Throws Error (config) naming both values of the first key that makes `now` another run than `then`. training.steps may grow.
void check_same_run(const config::Resolved& now, const config::Config& then, config::Effect widest, const Path& from);
// The same for imported weights: only the keys that decide their shapes and meaning must agree.
void check_same_model(const config::Resolved& now, const config::Config& then, const Path& from);

}  // namespace ringmaster::train
