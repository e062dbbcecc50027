// SPDX-License-Identifier: Apache-2.0
// file: reading and durable writing over POSIX. Nothing here retries fsync: after a failed fsync the kernel may call lost pages
// clean, so that file is dead. All errors are Error with the path, of the kind the caller names (default io). All calls block.
// Paths are byte strings: spaces, newlines and UTF-8 are nothing special.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace ringmaster {

using Path = std::filesystem::path;

// "cannot open: Permission denied" for the current errno
[[nodiscard]] Error errno_error(std::string_view action, const Path& path, ErrorKind kind = ErrorKind::io);

struct OpenOptions {
  ErrorKind kind = ErrorKind::io;
  bool follow_links = true;  // false refuses a symbolic link as the last component (hostile folders)
};

// An open descriptor, closed with the object. Only regular files open: a folder, FIFO or device is an Error.
class File {
 public:
  static File open_read(const Path& path, const OpenOptions& options = {});
  static File create_new(const Path& path);  // for writing; an existing file is an Error
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  int64_t size() const;
  void pread_exact(std::span<std::byte> out, int64_t offset) const;  // a short file is an Error naming both sizes
  void write_all(const void* data, size_t bytes);
  void pwrite_all(std::span<const std::byte> data, int64_t offset);  // over what stands there
  void sync_and_close();  // fsync, then close; a writer that does not call this has written nothing for sure

  int descriptor() const { return fd_; }
  const Path& path() const { return path_; }

 private:
  File(int fd, Path path, ErrorKind kind) : fd_(fd), path_(std::move(path)), kind_(kind) {}
  int fd_ = -1;
  Path path_;
  ErrorKind kind_ = ErrorKind::io;
};

// A regular file mapped read-only. Truncating it while it is mapped kills the reader (SIGBUS): only for files that nobody
// rewrites in place, such as committed checkpoints.
class MappedFile {
 public:
  explicit MappedFile(const Path& path, const OpenOptions& options = {});
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }

 private:
  std::span<const std::byte> bytes_;
};

struct ReadOptions {
  int64_t max_bytes = int64_t{64} << 20;  // a larger file is an Error naming both sizes, before anything is allocated
  ErrorKind kind = ErrorKind::io;
  bool follow_links = true;
};
std::string read_file(const Path& path, const ReadOptions& options = {});

// After return the file holds `bytes` (or what `write` wrote) whatever happens next; on an Error or a crash it holds what it
// held before.
void write_file_atomic(const Path& path, std::string_view bytes);
void write_file_atomic(const Path& path, const std::function<void(File&)>& write);

void make_folders(const Path& path);  // like mkdir -p; an existing folder is fine
// Where what can be made again is kept: $RINGMASTER_CACHE_DIR, else the user's cache folder; empty for a
// user without a home. It need not exist.
Path cache_folder();
void sync_folder(const Path& path);                      // makes the names inside durable
std::vector<std::string> list_folder(const Path& path);  // names inside, in byte order, without . and ..

}  // namespace ringmaster
