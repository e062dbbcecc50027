// SPDX-License-Identifier: Apache-2.0
// files: configuration files in a folder that is removed with the fixture, and the errors that loading them gives.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/load.h"
#include "core/error.h"

namespace ringmaster::config {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ringmaster-config-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string write(const std::string& name, const std::string& text) const {
    const auto file = path_ / name;
    std::filesystem::remove(file);  // file systems flush a file that is truncated and rewritten
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      found.push_back(entry.path().filename().string());
    return found;
  }

 private:
  std::filesystem::path path_;
};

// What `action` throws; a failed test and an empty info if it throws nothing.
template <typename Action> ErrorInfo error_of(const Action& action) {
  try {
    action();
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

// Does `text` hold `part`? Names both when not.
inline ::testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << text << "\" does not hold \"" << part << "\"";
}

class ConfigFile : public ::testing::Test {
 protected:
  Resolved load_text(const std::string& text, const std::vector<std::string>& sets = {},
                     const std::vector<Flag>& flags = {}) const {
    return load(folder_.write("c.yaml", text), sets, flags);
  }
  ErrorInfo error_in(const std::string& text, const std::vector<std::string>& sets = {},
                     const std::vector<Flag>& flags = {}) const {
    return error_of([&] { load_text(text, sets, flags); });
  }
  TempFolder folder_;
};

}  // namespace ringmaster::config
