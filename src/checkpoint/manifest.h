// SPDX-License-Identifier: Apache-2.0
// manifest: what a checkpoint folder holds, block by block. It is written last, so a folder with a manifest was complete; its
// own `checksum` covers the numbers that nothing else in the folder contradicts: format_version, sequence, step, block_bytes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"

namespace ringmaster::checkpoint {

inline constexpr int64_t format_version = 1;
inline constexpr int64_t block_bytes = int64_t{1}
                                       << 20;  // large enough to hash at memory speed, small enough to name a place

struct FileRecord {
  std::string name;  // a plain file name, never a path
  int64_t bytes = 0;
  int64_t block_bytes = checkpoint::block_bytes;
  std::vector<std::string> xxh3_128;  // hex, one a block; the last block may be short
};

struct Manifest {
  int64_t format_version = checkpoint::format_version;
  int64_t sequence = 0;
  int64_t step = 0;
  std::vector<FileRecord> files;  // in byte order of name
};

std::string to_json(const Manifest& manifest);

struct ManifestError : Error {
  ManifestError(std::string problem_, ErrorInfo info) : Error(std::move(info)), problem(std::move(problem_)) {}
  std::string problem;  // "version": a newer format; "path": a name that leaves the folder; "manifest": anything else
};
// Strict: unknown, missing or duplicate keys, path-like names and impossible sizes are ManifestErrors (kind checkpoint).
Manifest parse_manifest(std::string_view text, const std::string& file);

std::string xxh3_128_hex(std::span<const std::byte> bytes);
std::array<uint64_t, 2> xxh3_128(std::span<const std::byte> bytes);

// Writes a new file and records its block hashes on the way.
class BlockWriter {
 public:
  explicit BlockWriter(const Path& path);
  ~BlockWriter();
  void write(const void* data, int64_t bytes);
  FileRecord finish();  // fsyncs and closes

 private:
  void end_block();
  struct Hash;
  File file_;
  FileRecord record_;
  std::unique_ptr<Hash> hash_;
  int64_t in_block_ = 0;
};

}  // namespace ringmaster::checkpoint
