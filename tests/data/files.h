// SPDX-License-Identifier: Apache-2.0
// files: a temporary folder for data files, and the shared data sets if this machine has them.
#pragma once
#include "core/error.h"
#include "data/source.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::data {

class TempFolder {
 public:
  TempFolder() {
    std::string name = std::filesystem::temp_directory_path() / "ringmaster_data_XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }

  std::string path(const std::string& name) const { return path_ / name; }
  // Writes `bytes` to the file `name`, making its folders; returns its path.
  std::string write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline std::string u16_bytes(const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) {
    bytes += static_cast<char>(id & 0xff);
    bytes += static_cast<char>(id >> 8);
  }
  return bytes;
}

// n bytes without an obvious pattern, all below 128
inline std::string noise(int64_t n) {
  std::string bytes;
  for (int64_t i = 0; i < n; ++i) bytes += static_cast<char>((i * 7919 + i * i / 31) % 128);
  return bytes;
}

inline std::vector<int32_t> all_tokens(const Split& split) {
  std::vector<int32_t> ids(static_cast<size_t>(split.size));
  split.read(0, split.size, ids.data());
  return ids;
}

// The error that `action` throws; fails the test if it throws none.
inline ErrorInfo error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) { return error.info(); }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

// $RINGMASTER_SHARED, else the folder `shared` beside the checkout; "" if the file is in neither.
inline std::string shared_file(const std::string& name) {
  const char* const set = std::getenv("RINGMASTER_SHARED");
  const std::filesystem::path source = __FILE__;  // <checkout>/tests/data/files.h
  const std::filesystem::path folder = set != nullptr
                                           ? std::filesystem::path(set)
                                           : source.parent_path().parent_path().parent_path().parent_path() / "shared";
  const std::filesystem::path file = folder / name;
  return std::filesystem::exists(file) ? file.string() : "";
}

}  // namespace ringmaster::data
