// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/store.h"

#include "checkpoint/hash.h"
#include "checkpoint/inspect.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace ringmaster::checkpoint {
namespace {

using nlohmann::json;

constexpr std::string_view temporary_prefix =
    ".tmp-";  // never loadable; one writer a run, so any that is there is dead

void remove_stale(const Path& folder) {
  for (const std::string& name : list_folder(folder)) {
    std::error_code harmless;  // what cannot be removed now is in nobody's way and is tried again next time
    if (name.starts_with(temporary_prefix)) std::filesystem::remove_all(folder / name, harmless);
  }
}

// Takes the folder out of sight in one act, so that a crash while deleting leaves no half checkpoint.
void remove_checkpoint(const Path& path) {
  const Path hidden = path.parent_path() / (std::string(temporary_prefix) + path.filename().string());
  std::error_code error;
  std::filesystem::remove_all(hidden, error);
  if (::rename(path.c_str(), hidden.c_str()) != 0) throw errno_error("cannot remove the old checkpoint", path);
  if (std::filesystem::remove_all(hidden, error); error) {
    errno = error.value();
    throw errno_error("cannot remove the old checkpoint", hidden);
  }
}

std::vector<Path> prune_trusting(const Path& run_folder, int keep, const Path& trusted, const CommitOptions& options) {
  std::vector<Path> doomed;
  const std::vector<Found> all = list(run_folder);
  if (keep <= 0 || all.size() <= static_cast<size_t>(keep)) return doomed;
  int kept = 0;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    const auto sound = [&] { return it->path == trusted || inspect(it->path, Depth::blocks).problems.empty(); };
    // The newest stays whatever it is; one without a readable manifest could be the newest unless one was just committed.
    const bool newest = it == all.rbegin() || (!it->problem.empty() && trusted.empty());
    if (kept < keep && sound()) {
      ++kept;
    } else if (!newest && it->step != options.keep_step) {
      doomed.push_back(it->path);
    }
  }
  if (kept < keep) return {};
  for (const Path& path : doomed) {
    if (options.hook) options.hook("prune");
    remove_checkpoint(path);
  }
  sync_folder(checkpoint_folder(run_folder));
  return doomed;
}

// One commit under way: a temporary folder that fills with files and disappears unless it is published.
class Writer {
 public:
  Writer(Path folder, int64_t step, const CommitOptions& options)
      : folder_(std::move(folder)), final_(folder_ / step_name(step)), options_(options) {
    temporary_ = folder_ / fmt::format("{}{}-{}", temporary_prefix, step_name(step), ::getpid());
    if (::mkdir(temporary_.c_str(), 0777) != 0) throw errno_error("cannot create the folder", temporary_);
  }
  ~Writer() {
    std::error_code ignored;
    std::filesystem::remove_all(temporary_,
                                ignored);  // after publish(): the replaced checkpoint of the same step, or nothing
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void json_file(const std::string& name, const json& value) { text_file(name, value.dump(2) + "\n"); }

  std::string text_file(const std::string& name, std::string text) {
    BlockWriter file = start(name);
    file.write(text.data(), static_cast<int64_t>(text.size()));
    records_.push_back(file.finish());
    return text;
  }

  // The file or shards of one kind; nothing for no tensors.
  void tensor_files(Kind kind, const std::vector<TensorEntry>& tensors) {
    const auto shards = plan_shards(tensors);
    json weight_map = json::object();
    int64_t total = 0;
    for (size_t i = 0; i < shards.size(); ++i) {
      const std::string file_name =
          shards.size() == 1 ? fmt::format("{}.safetensors", name(kind))
                             : fmt::format("{}-{:05}-of-{:05}.safetensors", name(kind), i + 1, shards.size());
      tensor_file(file_name, shards[i]);
      for (const TensorEntry& tensor : shards[i]) {
        weight_map[tensor.name] = file_name;
        total += tensor.bytes();
      }
    }
    if (shards.size() > 1) {
      json_file(fmt::format("{}.safetensors.index.json", name(kind)),
                {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(weight_map)}});
    }
  }

  // Returns the bytes of all files of the manifest.
  int64_t finish(Manifest manifest, const json& provenance) {
    plain_file("provenance.json", provenance.dump(2) + "\n");
    std::sort(records_.begin(), records_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    manifest.files = std::move(records_);
    plain_file("manifest.json", to_json(manifest));
    sync_folder(temporary_);
    int64_t bytes = 0;
    for (const FileRecord& record : manifest.files) bytes += record.bytes;
    return bytes;
  }

  Path publish() {
    hook("commit");
    const bool replaces = std::filesystem::exists(std::filesystem::symlink_status(final_));
    const unsigned flags = replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), flags) != 0) {
      // NFS and some others know no flags; replacing nothing needs none, as no other writer is here.
      if (errno != EINVAL || replaces || ::rename(temporary_.c_str(), final_.c_str()) != 0) {
        throw errno_error("cannot rename the finished checkpoint into place", final_);
      }
    }
    // If the rename is not durable, what it replaced must not be deleted.
    const Path replaced = std::exchange(temporary_, {});
    sync_folder(folder_);
    temporary_ = replaced;
    return final_;
  }

 private:
  void hook(std::string_view phase) const {
    if (options_.hook) options_.hook(phase);
  }

  BlockWriter start(const std::string& name) {
    hook("write");
    return BlockWriter(temporary_ / name);
  }

  void plain_file(const std::string& name, const std::string& text) {
    BlockWriter file = start(name);
    file.write(text.data(), static_cast<int64_t>(text.size()));
    file.finish();
  }

  void tensor_file(const std::string& file_name, const std::vector<TensorEntry>& tensors) {
    const SafetensorsLayout layout = safetensors_layout(tensors);
    BlockWriter file = start(file_name);
    file.write(layout.header.data(), static_cast<int64_t>(layout.header.size()));
    for (const size_t i : layout.order)
      tensors[i].for_pieces([&](const void* p, int64_t bytes) { file.write(p, bytes); });
    records_.push_back(file.finish());
  }

  // In byte order of name, each shard as full as the limit allows; a larger tensor has a shard of its own.
  std::vector<std::vector<TensorEntry>> plan_shards(std::vector<TensorEntry> tensors) const {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::vector<std::vector<TensorEntry>> shards;
    int64_t filled = 0;
    for (TensorEntry& tensor : tensors) {
      if (shards.empty() || filled + tensor.bytes() > options_.shard_bytes) {
        shards.emplace_back();
        filled = 0;
      }
      filled += tensor.bytes();
      shards.back().push_back(std::move(tensor));
    }
    return shards;
  }

  Path folder_, final_, temporary_;
  const CommitOptions& options_;
  std::vector<FileRecord> records_;
};

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::model: return "model";
    case Kind::optimizer: return "optimizer";
    case Kind::ema: return "ema";
  }
  return "?";
}

Committed commit(const Path& run_folder, const Content& content, const CommitOptions& options) {
  CHECK(content.step >= 0 && !content.model.empty(), "a checkpoint of step {} with {} tensors", content.step,
        content.model.size());
  const Path folder = checkpoint_folder(run_folder);
  make_folders(folder);
  sync_folder(run_folder);
  remove_stale(folder);
  Manifest manifest{.sequence = 1, .step = content.step};
  for (const Found& found : list(run_folder)) manifest.sequence = std::max(manifest.sequence, found.sequence + 1);

  Committed done{.sequence = manifest.sequence};
  {
    Writer writer(folder, content.step, options);
    writer.tensor_files(Kind::model, content.model);
    writer.tensor_files(Kind::optimizer, content.optimizer);
    writer.tensor_files(Kind::ema, content.ema);
    writer.json_file("config.json", content.config);
    const std::string state = writer.text_file("state.json", content.state.dump(2) + "\n");
    done.params_hash = params_hash(content.model);
    done.state_hash =
        state_hash({.model = content.model, .optimizer = content.optimizer, .ema = content.ema, .state_json = state});
    done.bytes = writer.finish(std::move(manifest), content.provenance);
    done.path = std::filesystem::absolute(writer.publish()).lexically_normal();
  }
  prune_trusting(run_folder, options.keep_latest_k, done.path, options);
  return done;
}

std::vector<Found> list(const Path& run_folder) { return list_folder_of_checkpoints(checkpoint_folder(run_folder)); }

std::optional<Found> latest(const Path& run_folder) {
  const std::vector<Found> all = list(run_folder);
  if (all.empty()) return std::nullopt;
  // One without a readable manifest could be the newest, and stands first.
  const Found& newest = all.front().problem.empty() ? all.back() : all.front();
  const Inspection inspection = inspect(newest.path, Depth::sizes);
  if (!inspection.problems.empty()) throw damage(inspection);
  return newest;
}

std::vector<Path> prune(const Path& run_folder, int keep_latest_k) {
  return prune_trusting(run_folder, keep_latest_k, {}, {});
}

}  // namespace ringmaster::checkpoint
