// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace ringmaster::checkpoint {
namespace {

constexpr std::string_view manifest_name = "manifest.json";
constexpr std::string_view provenance_name =
    "provenance.json";  // says who wrote it, so it is not part of what was written
constexpr int64_t largest_manifest = int64_t{256} << 20;

constexpr OpenOptions hostile{.kind = ErrorKind::checkpoint, .follow_links = false};

std::optional<int64_t> step_of(const std::string& folder_name) {
  constexpr std::string_view prefix = "step-";
  if (!folder_name.starts_with(prefix) || folder_name.size() < prefix.size() + 8 || folder_name.size() > 23) return {};
  int64_t step = 0;
  for (const char c : folder_name.substr(prefix.size())) {
    if (c < '0' || c > '9') return {};
    step = step * 10 + (c - '0');
  }
  return step;
}

// An absolute path without a trailing slash, so that filename() and parent_path() mean the folder's.
Path clean(const Path& folder) {
  const Path path = std::filesystem::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

Manifest read_manifest(const Path& folder) {
  const Path path = folder / manifest_name;
  const std::string text =
      read_file(path, {.max_bytes = largest_manifest, .kind = ErrorKind::checkpoint, .follow_links = false});
  return parse_manifest(text, path.string());
}

class Inspector {
 public:
  Inspector(Inspection& out, Depth depth) : out_(out), depth_(depth) {}

  void run() {
    if (!std::filesystem::is_directory(out_.folder))
      return add({.kind = "missing", .detail = "is no checkpoint folder"});
    if (!manifest()) return;
    std::set<std::string> names{std::string(manifest_name), std::string(provenance_name)};
    for (const FileRecord& record : out_.manifest->files) names.insert(record.name);
    for (const char* needed : {"config.json", "state.json"}) {
      if (!names.contains(needed)) add({.file = needed, .kind = "missing", .detail = "the manifest does not list it"});
    }
    for (const FileRecord& record : out_.manifest->files) file(record);
    for (const std::string& name : list_folder(out_.folder)) {
      if (!names.contains(name)) add({.file = name, .kind = "extra", .detail = "the manifest does not list it"});
    }
  }

 private:
  void add(Problem problem) { out_.problems.push_back(std::move(problem)); }

  bool manifest() {
    const std::string name(manifest_name);
    if (!std::filesystem::exists(std::filesystem::symlink_status(out_.folder / name))) {
      add({.file = name, .kind = "missing", .detail = "is missing"});
      return false;
    }
    try {
      out_.manifest = read_manifest(out_.folder);
    } catch (const ManifestError& e) {
      add({.file = name,
           .kind = e.problem,
           .detail = e.what(),
           .found = e.info().found,
           .expected = e.info().expected});
      return false;
    } catch (const Error& e) {
      add({.file = name,
           .kind = "manifest",
           .detail = e.what(),
           .found = e.info().found,
           .expected = e.info().expected});
      return false;
    }
    const std::string folder_name = out_.folder.filename().string();
    const auto step = step_of(folder_name);  // a copy elsewhere may have any name
    if (step && *step != out_.manifest->step) {
      add({.file = name,
           .kind = "manifest",
           .detail = fmt::format("is of step {}, but the folder is {}", out_.manifest->step, folder_name),
           .found = fmt::format("{}", out_.manifest->step),
           .expected = fmt::format("{}", *step)});
    }
    return true;
  }

  void file(const FileRecord& record) {
    const Path path = out_.folder / record.name;
    const auto type = std::filesystem::symlink_status(path).type();
    if (type == std::filesystem::file_type::not_found) {
      return add({.file = record.name,
                  .kind = "missing",
                  .detail = "is missing",
                  .found = "no file",
                  .expected = fmt::format("{} bytes", record.bytes)});
    }
    if (type != std::filesystem::file_type::regular) {
      return add({.file = record.name, .kind = "path", .detail = "is not a regular file"});
    }
    try {
      const File file = File::open_read(path, hostile);
      if (file.size() != record.bytes) return wrong_size(record, file.size());
      if (depth_ == Depth::blocks && blocks(record, file) && kind_of(record.name)) header(record);
    } catch (const Error& e) {  // permissions, or the disk itself
      add({.file = record.name, .kind = "checksum", .detail = e.what()});
    }
  }

  void wrong_size(const FileRecord& record, int64_t size) {
    const bool cut = size < record.bytes;
    const int64_t offset = std::min(size, record.bytes);
    add({.file = record.name,
         .tensor = tensor_at(record, offset, offset + 1),
         .offset = offset,
         .kind = cut ? "truncated" : "extra",
         .detail = fmt::format("has {} bytes and should have {}: it is {} at byte {}", size, record.bytes,
                               cut ? "cut off" : "followed by other data", offset),
         .found = fmt::format("{} bytes", size),
         .expected = fmt::format("{} bytes", record.bytes)});
  }

  // True if every block is what was written. Reads through a small buffer: a mapping would count as our memory.
  bool blocks(const FileRecord& record, const File& file) {
    bool sound = true;
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(record.bytes, record.block_bytes)));
    for (size_t i = 0; i < record.xxh3_128.size(); ++i) {
      const int64_t begin = static_cast<int64_t>(i) * record.block_bytes;
      const int64_t end = std::min(begin + record.block_bytes, record.bytes);
      const auto block = std::span(buffer).first(static_cast<size_t>(end - begin));
      file.pread_exact(block, begin);
      const std::string hash = xxh3_128_hex(block);
      if (hash == record.xxh3_128[i]) continue;
      sound = false;
      add({.file = record.name,
           .tensor = tensor_at(record, begin, end),
           .offset = begin,
           .kind = "checksum",
           .detail = fmt::format("bytes {} to {} are not what was written", begin, end),
           .found = "xxh3_128 " + hash,
           .expected = "xxh3_128 " + record.xxh3_128[i]});
    }
    return sound;
  }

  void header(const FileRecord& record) {
    try {
      const Safetensors tensors(out_.folder / record.name, hostile);
      const Kind kind = *kind_of(record.name);
      for (const TensorEntry& tensor : tensors.tensors()) {
        if (seen_.emplace(kind, tensor.name).second) continue;
        add({.file = record.name,
             .tensor = tensor.name,
             .kind = "header",
             .detail = "the tensor is in another file too"});
      }
    } catch (const Error& e) {
      add({.file = record.name, .kind = "header", .detail = e.what(), .expected = e.info().expected});
    }
  }

  // The first tensor with bytes in [begin, end), if the file is one of tensors and its header can still be read.
  std::string tensor_at(const FileRecord& record, int64_t begin, int64_t end) const {
    if (!kind_of(record.name)) return {};
    try {
      const MappedFile file(out_.folder / record.name, hostile);
      const SafetensorsHeader header = parse_safetensors_header(file.bytes(), record.bytes, record.name);
      for (size_t i = 0; i < header.tensors.size(); ++i) {
        if (header.begin[i] < end && header.begin[i] + header.tensors[i].bytes() > begin) return header.tensors[i].name;
      }
    } catch (const Error&) {  // the header itself is damaged, and `offset` says so
    }
    return {};
  }

  Inspection& out_;
  Depth depth_;
  std::set<std::pair<Kind, std::string>> seen_;
};

std::string cure_for(const Inspection& inspection) {
  if (inspection.problems.front().kind == "version") return "use the ringmaster that wrote it, or a newer one";
  auto others = list_folder_of_checkpoints(inspection.folder.parent_path());
  std::reverse(others.begin(), others.end());
  for (const Found& other : others) {
    if (!other.problem.empty() || other.path == inspection.folder) continue;
    if (!inspect(other.path, Depth::blocks).problems.empty()) continue;
    return fmt::format(
        "step {} (sequence {}) is sound: resume from it with --resume {}, or put a copy of the damaged file back",
        other.step, other.sequence, other.path.string());
  }
  return "no other checkpoint here is sound: put a copy of the damaged file back, or start in another run folder";
}

}  // namespace

Inspection inspect(const Path& folder, Depth depth) {
  Inspection inspection{.folder = clean(folder)};
  Inspector(inspection, depth).run();
  return inspection;
}

Error damage(const Inspection& inspection) {
  const Problem& problem = inspection.problems.front();
  const Path place = problem.file.empty() ? inspection.folder : inspection.folder / problem.file;
  const std::string tensor = problem.tensor.empty() ? "" : fmt::format(" (tensor {})", problem.tensor);
  return Error({.kind = ErrorKind::checkpoint,
                .message = "damaged checkpoint: " + problem.detail + tensor,
                .file = place.string(),
                .found = problem.found,
                .expected = problem.expected,
                .cure = cure_for(inspection)});
}

std::vector<Found> list_folder_of_checkpoints(const Path& folder) {
  std::vector<Found> all;
  if (!std::filesystem::is_directory(folder)) return all;
  for (const std::string& name : list_folder(folder)) {
    if (!step_of(name)) continue;
    Found found{.path = clean(folder / name)};
    try {
      const Manifest manifest = read_manifest(found.path);
      found.sequence = manifest.sequence;
      found.step = manifest.step;
      for (const FileRecord& record : manifest.files) found.bytes += record.bytes;
    } catch (const Error& e) { found.problem = e.what(); }
    all.push_back(std::move(found));
  }
  std::stable_sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.sequence < b.sequence; });
  return all;
}

Path checkpoint_folder(const Path& run_folder) { return run_folder / "checkpoint"; }

std::string step_name(int64_t step) { return fmt::format("step-{:08}", step); }

std::optional<Kind> kind_of(const std::string& file_name) {
  if (!file_name.ends_with(".safetensors")) return {};
  for (const Kind kind : {Kind::model, Kind::optimizer, Kind::ema}) {
    const std::string stem = name(kind);
    if (file_name.starts_with(stem + ".") || file_name.starts_with(stem + "-")) return kind;
  }
  return {};
}

}  // namespace ringmaster::checkpoint
