// SPDX-License-Identifier: Apache-2.0
// store: committing, finding, opening, verifying and pruning the checkpoints of a run, RUN/checkpoint/step-NNNNNNNN.
// A checkpoint is written under a .tmp- name, every file fsynced, the manifest last, and becomes one by a rename. Which is the
// newest is said by the sequence in the manifests, never by mtime or step. Nothing ever falls back to an older one by itself.
#pragma once
#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "core/file.h"

namespace ringmaster::checkpoint {

enum class Kind { model, optimizer, ema };
const char* name(Kind kind);  // "model", ...: the stem of the files

// What to write. Tensor data must stay unchanged until commit() returns. All but `provenance` must be independent of the rank
// count, host and time; a list without tensors makes no file.
struct Content {
  int64_t step = 0;
  std::vector<TensorEntry> model, optimizer, ema;
  nlohmann::json config;      // config.json
  nlohmann::json state;       // state.json
  nlohmann::json provenance;  // provenance.json: version, cpu, host, time
};

struct CommitOptions {
  int keep_latest_k = 0;                // 0 keeps all
  int64_t keep_step = -1;               // the checkpoint of this step stays too
  int64_t shard_bytes = 5'000'000'000;  // tensor bytes a file; Hugging Face's own limit
  std::function<void(std::string_view)>
      hook;  // called with "write", "commit", "prune" before each such act (failpoints)
};

struct Committed {
  Path path;
  int64_t sequence = 0;
  int64_t bytes = 0;  // as in Found
  std::string params_hash, state_hash;
};
// Blocks until the checkpoint is durable. A failure throws (kind io), removes the temporary folder and leaves older ones alone.
// A checkpoint of the same step is replaced in one atomic exchange. The caller holds the run folder's lock (run_folder.h).
Committed commit(const Path& run_folder, const Content& content, const CommitOptions& options = {});

struct Found {
  Path path;
  int64_t sequence = 0;
  int64_t step = 0;
  int64_t bytes = 0;    // of all files but manifest.json and provenance.json
  std::string problem;  // "" unless the manifest cannot be read; then only path is known
};
// All checkpoints in order of sequence, those without a readable manifest first. Reads nothing but manifests.
std::vector<Found> list(const Path& run_folder);
// The highest sequence, its manifest and file sizes checked; nullopt if there is no checkpoint at all. A damaged newest one,
// or a manifest that cannot be read (it could be the newest), is an Error (checkpoint) naming file, offset, expected and found,
// and a sound checkpoint to resume from.
std::optional<Found> latest(const Path& run_folder);
// Deletes all but the newest k whose blocks verify; the newest is never deleted, and nothing is if fewer than k verify. Reads
// k checkpoints when there is something to delete. Returns the deleted folders.
std::vector<Path> prune(const Path& run_folder, int keep_latest_k);

// A checkpoint with every block verified and its tensors mapped read-only; views live as long as this object.
class Loaded {
 public:
  const Found& found() const { return found_; }
  const nlohmann::json& config() const { return config_; }
  const nlohmann::json& state() const { return state_; }
  const TensorEntry* find(Kind kind, std::string_view name) const;  // null if absent
  const std::vector<TensorEntry>& tensors(Kind kind) const;         // in byte order of name
  std::string params_hash() const;
  std::string state_hash() const;

 private:
  friend Loaded open(const Path& checkpoint_folder);
  Found found_;
  nlohmann::json config_, state_;
  std::string state_bytes_;
  std::vector<Safetensors> files_;
  std::map<Kind, std::vector<TensorEntry>> tensors_;
};
// Errors (checkpoint): missing, truncated, extra or altered files, bad headers, a newer format_version (naming both).
Loaded open(const Path& checkpoint_folder);

struct Problem {
  std::string file;
  std::string tensor;  // "" if the place is in no tensor
  int64_t offset = 0;
  std::string kind;    // missing | truncated | extra | checksum | header | manifest | path | version
  std::string detail;  // one sentence with what was found and expected
  std::string found, expected;
};
struct Report {
  bool valid = false;
  int64_t step = 0, sequence = 0, files = 0, tensors = 0, bytes = 0;
  std::string params_hash, state_hash;  // "" unless valid
  std::vector<Problem> errors;
};
// Reads everything and never throws for what it finds in the folder.
Report verify(const Path& checkpoint_folder);

}  // namespace ringmaster::checkpoint
