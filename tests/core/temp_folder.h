// SPDX-License-Identifier: Apache-2.0
// temp_folder: a fresh folder for one test, removed with everything in it. Its name holds a space, a newline and UTF-8, so that
// every test of paths is one of odd paths.
#pragma once
#include "core/error.h"
#include "core/file.h"

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace ringmaster {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ringmaster test\n\xC3\xBC-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr, "no temporary folder {}", name);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const Path& path() const { return path_; }
  Path operator/(const Path& name) const { return path_ / name; }

 private:
  Path path_;
};

}  // namespace ringmaster
