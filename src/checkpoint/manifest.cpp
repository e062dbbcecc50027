// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include "checkpoint/json.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <initializer_list>

namespace ringmaster::checkpoint {
namespace {

using nlohmann::json;

std::string hex(XXH128_hash_t hash) {
  XXH128_canonical_t digits;  // big endian, as xxh128sum prints it
  XXH128_canonicalFromHash(&digits, hash);
  return fmt::format("{:02x}", fmt::join(digits.digest, ""));
}

std::string checksum(const Manifest& m) {
  std::string text = fmt::format("{} {} {}", m.format_version, m.sequence, m.step);
  for (const FileRecord& file : m.files) text += fmt::format(" {}", file.block_bytes);
  return xxh3_128_hex(std::as_bytes(std::span(text)));
}

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  ManifestError refuse(std::string problem, std::string message, std::string found = {},
                       std::string expected = {}) const {
    return ManifestError(std::move(problem), {.kind = ErrorKind::checkpoint,
                                              .message = std::move(message),
                                              .file = file_,
                                              .found = std::move(found),
                                              .expected = std::move(expected)});
  }

  void keys(const json& object, std::initializer_list<std::string_view> names) const {
    if (!object.is_object()) throw refuse("manifest", "holds a value where an object is expected");
    for (const std::string_view name : names) {
      if (!object.contains(name)) throw refuse("manifest", fmt::format("lacks the key \"{}\"", name));
    }
    for (const auto& [key, value] : object.items()) {
      if (std::find(names.begin(), names.end(), key) == names.end()) {
        throw refuse("manifest", fmt::format("has the unknown key \"{}\"", key));
      }
    }
  }

  int64_t count(const json& object, const char* key) const {
    const json& value = object.at(key);
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      throw refuse("manifest", fmt::format("\"{}\" is {}", key, value.dump()), value.dump(), "a count");
    }
    return value.get<int64_t>();
  }

  std::string text(const json& value, const char* what) const {
    if (!value.is_string())
      throw refuse("manifest", fmt::format("{} is {}", what, value.dump()), value.dump(), "a string");
    return value.get<std::string>();
  }

  FileRecord record(const json& object) const {
    keys(object, {"name", "bytes", "block_bytes", "xxh3_128"});
    FileRecord record{.name = text(object.at("name"), "a file's name"),
                      .bytes = count(object, "bytes"),
                      .block_bytes = count(object, "block_bytes")};
    if (record.name.empty() || record.name.starts_with('.') || record.name.find('/') != std::string::npos) {
      throw refuse("path", fmt::format("names the file \"{}\"", record.name), record.name, "a plain file name");
    }
    // The bound keeps a hostile manifest from making the verifier allocate what it likes.
    if (record.block_bytes < 1 || record.block_bytes > (int64_t{64} << 20)) {
      throw refuse("manifest", fmt::format("block_bytes of {} is {}", record.name, record.block_bytes), {},
                   "1 to 64 MiB");
    }
    if (!object.at("xxh3_128").is_array()) throw refuse("manifest", "xxh3_128 is not a list");
    for (const json& hash : object.at("xxh3_128")) record.xxh3_128.push_back(text(hash, "a block hash"));
    const int64_t blocks = record.bytes / record.block_bytes + (record.bytes % record.block_bytes != 0 ? 1 : 0);
    if (static_cast<int64_t>(record.xxh3_128.size()) != blocks) {
      throw refuse("manifest", fmt::format("{} has {} block hashes, but {} bytes in blocks of {} make {}", record.name,
                                           record.xxh3_128.size(), record.bytes, record.block_bytes, blocks));
    }
    return record;
  }

 private:
  const std::string& file_;
};

}  // namespace

std::string xxh3_128_hex(std::span<const std::byte> bytes) { return hex(XXH3_128bits(bytes.data(), bytes.size())); }

std::array<uint64_t, 2> xxh3_128(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string to_json(const Manifest& manifest) {
  nlohmann::ordered_json out{
      {"format_version", manifest.format_version}, {"sequence", manifest.sequence}, {"step", manifest.step}};
  out["files"] = nlohmann::ordered_json::array();
  for (const FileRecord& file : manifest.files) {
    out["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"block_bytes", file.block_bytes}, {"xxh3_128", file.xxh3_128}});
  }
  out["checksum"] = checksum(manifest);
  return out.dump() + "\n";
}

Manifest parse_manifest(std::string_view text, const std::string& file) {
  const Reader read(file);
  json root;
  try {
    root = parse_strict(text, file);
  } catch (const Error& e) { throw ManifestError("manifest", e.info()); }
  // Before anything else: what a newer format adds is unknown here.
  if (root.is_object() && root.contains("format_version")) {
    const int64_t version = read.count(root, "format_version");
    if (version > format_version) {
      throw read.refuse(
          "version",
          fmt::format("is of format_version {}, and this ringmaster reads up to {}", version, format_version),
          fmt::format("{}", version), fmt::format("at most {}", format_version));
    }
  }
  read.keys(root, {"format_version", "sequence", "step", "files", "checksum"});
  Manifest manifest{.format_version = read.count(root, "format_version"),
                    .sequence = read.count(root, "sequence"),
                    .step = read.count(root, "step")};
  if (!root.at("files").is_array()) throw read.refuse("manifest", "\"files\" is not a list");
  for (const json& object : root.at("files")) manifest.files.push_back(read.record(object));
  for (size_t i = 1; i < manifest.files.size(); ++i) {
    if (manifest.files[i - 1].name >= manifest.files[i].name) {
      throw read.refuse("manifest", fmt::format("{} is listed twice or out of order", manifest.files[i].name));
    }
  }
  if (read.text(root.at("checksum"), "checksum") != checksum(manifest) || manifest.format_version < 1) {
    throw read.refuse(
        "manifest", fmt::format("format_version {}, sequence {}, step {} or a block_bytes does not match the checksum",
                                manifest.format_version, manifest.sequence, manifest.step));
  }
  return manifest;
}

struct BlockWriter::Hash {
  XXH3_state_t* state = XXH3_createState();
  Hash() {
    CHECK(state != nullptr, "no memory for a hash");
    XXH3_128bits_reset(state);
  }
  ~Hash() { XXH3_freeState(state); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
};

BlockWriter::BlockWriter(const Path& path)
    : file_(File::create_new(path)), record_{.name = path.filename().string()}, hash_(std::make_unique<Hash>()) {}
BlockWriter::~BlockWriter() = default;

void BlockWriter::write(const void* data, int64_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const int64_t now = std::min(bytes, record_.block_bytes - in_block_);
    XXH3_128bits_update(hash_->state, from, static_cast<size_t>(now));
    file_.write_all(from, static_cast<size_t>(now));
    from += now;
    bytes -= now;
    in_block_ += now;
    record_.bytes += now;
    if (in_block_ == record_.block_bytes) end_block();
  }
}

FileRecord BlockWriter::finish() {
  if (in_block_ > 0) end_block();
  file_.sync_and_close();
  return std::move(record_);
}

void BlockWriter::end_block() {
  record_.xxh3_128.push_back(hex(XXH3_128bits_digest(hash_->state)));
  XXH3_128bits_reset(hash_->state);
  in_block_ = 0;
}

}  // namespace ringmaster::checkpoint
