// SPDX-License-Identifier: Apache-2.0
// file: from what a user wrote to open data files. All errors are of kind data and name the key they came from.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::data {

// Each entry is a file or else a glob (* ? [...]), whose matches come in byte order. Throws if it is neither.
std::vector<std::string> expand(const std::vector<std::string>& entries, const std::string& key);

// An open, non-empty regular file. Movable, closes itself.
class DataFile {
 public:
  DataFile(std::string path, const std::string& key);
  DataFile(DataFile&& other) noexcept;
  DataFile& operator=(DataFile&&) = delete;
  ~DataFile();

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }  // when it was opened
  // Exactly `count` bytes from `offset`; throws if the disk fails or the file has become shorter. Blocks, thread-safe.
  void read(int64_t offset, int64_t count, void* out) const;

 private:
  std::string path_;
  int fd_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace ringmaster::data
