// SPDX-License-Identifier: Apache-2.0
// run_folder: one process at a time owns a run folder. The marker file ringmaster.run says that the folder is ours and carries the
// lock (flock, gone with its holder whatever kills it). The marker is never renamed or truncated: a lock belongs to an inode.
#pragma once
#include <string_view>

#include "core/file.h"

namespace ringmaster::checkpoint {

class RunFolder {
 public:
  // Creates the folder if need be, marks it and takes the lock; does not block. Errors (config, nothing written): the path is
  // no folder, it holds files but no marker of ours, or a live run holds it (its pid and host are named).
  static RunFolder claim(const Path& folder, std::string_view version);
  // Throws what claim() would refuse now; creates and changes nothing.
  static void check(const Path& folder);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();  // releases the lock; the marker stays

  const Path& path() const { return path_; }

 private:
  RunFolder(Path path, int fd) : path_(std::move(path)), fd_(fd) {}
  Path path_;
  int fd_ = -1;
};

}  // namespace ringmaster::checkpoint
