// SPDX-License-Identifier: Apache-2.0
// open and verify: reading a checkpoint back, for use and for a report.
#include <algorithm>

#include "checkpoint/hash.h"
#include "checkpoint/inspect.h"
#include "checkpoint/json.h"
#include "checkpoint/store.h"

namespace ringmaster::checkpoint {
namespace {

int64_t total_bytes(const Manifest& manifest) {
  int64_t bytes = 0;
  for (const FileRecord& record : manifest.files) bytes += record.bytes;
  return bytes;
}

std::string read_json_file(const Path& path) {
  return read_file(path, {.kind = ErrorKind::checkpoint, .follow_links = false});
}

}  // namespace

const TensorEntry* Loaded::find(Kind kind, std::string_view name) const {
  const auto& all = tensors(kind);
  const auto at = std::lower_bound(all.begin(), all.end(), name, [](const auto& t, auto n) { return t.name < n; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

const std::vector<TensorEntry>& Loaded::tensors(Kind kind) const {
  static const std::vector<TensorEntry> none;
  const auto at = tensors_.find(kind);
  return at == tensors_.end() ? none : at->second;
}

std::string Loaded::params_hash() const { return checkpoint::params_hash(tensors(Kind::model)); }

std::string Loaded::state_hash() const {
  return checkpoint::state_hash({.model = tensors(Kind::model),
                                 .optimizer = tensors(Kind::optimizer),
                                 .ema = tensors(Kind::ema),
                                 .state_json = state_bytes_});
}

Loaded open(const Path& folder) {
  const Inspection inspection = inspect(folder, Depth::blocks);
  if (!inspection.problems.empty()) throw damage(inspection);
  const Manifest& manifest = *inspection.manifest;

  Loaded loaded;
  loaded.found_ = {
      .path = inspection.folder, .sequence = manifest.sequence, .step = manifest.step, .bytes = total_bytes(manifest)};
  const Path config = inspection.folder / "config.json", state = inspection.folder / "state.json";
  loaded.config_ = parse_strict(read_json_file(config), config.string());
  loaded.state_bytes_ = read_json_file(state);
  loaded.state_ = parse_strict(loaded.state_bytes_, state.string());
  for (const FileRecord& record : manifest.files) {
    const auto kind = kind_of(record.name);
    if (!kind) continue;
    loaded.files_.emplace_back(inspection.folder / record.name,
                               OpenOptions{.kind = ErrorKind::checkpoint, .follow_links = false});
    const auto& tensors = loaded.files_.back().tensors();
    auto& all = loaded.tensors_[*kind];
    all.insert(all.end(), tensors.begin(), tensors.end());
  }
  for (auto& [kind, all] : loaded.tensors_) {
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  return loaded;
}

Report verify(const Path& folder) {
  Report report;
  const Inspection inspection = inspect(folder, Depth::blocks);
  report.errors = inspection.problems;
  if (inspection.manifest) {
    report.step = inspection.manifest->step;
    report.sequence = inspection.manifest->sequence;
    report.files = static_cast<int64_t>(inspection.manifest->files.size());
    report.bytes = total_bytes(*inspection.manifest);
  }
  if (!report.errors.empty()) return report;
  try {
    const Loaded loaded = open(folder);
    for (const Kind kind : {Kind::model, Kind::optimizer, Kind::ema}) {
      report.tensors += static_cast<int64_t>(loaded.tensors(kind).size());
    }
    report.params_hash = loaded.params_hash();
    report.state_hash = loaded.state_hash();
    report.valid = true;
  } catch (const Error& e) {
    const std::string file = Path(e.info().file).filename().string();
    report.errors.push_back(
        {.file = file, .kind = "header", .detail = e.what()});  // config.json or state.json as written
  }
  return report;
}

}  // namespace ringmaster::checkpoint
