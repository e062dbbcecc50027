// SPDX-License-Identifier: Apache-2.0
#include "data/file.h"

#include "core/error.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ringmaster::data {
namespace {

[[noreturn]] void fail(ErrorInfo info) {
  info.kind = ErrorKind::data;
  throw Error(std::move(info));
}

[[noreturn]] void missing(const std::string& path, const std::string& key) {
  std::error_code ignored;  // a deleted working directory has no name to show
  const std::string folder = std::filesystem::path(path).is_absolute() ? "" : std::filesystem::current_path(ignored);
  fail({.message = fmt::format("{} `{}` does not exist", key, path),
        .file = path,
        .key = key,
        .found = "no such file",
        .expected = "a file, a list of files or a glob",
        .cure = folder.empty() ? fmt::format("correct {}", key)
                               : fmt::format("correct {}: it is relative to the working directory {}", key, folder)});
}

std::vector<std::string> glob_matches(const std::string& pattern, const std::string& key) {
  glob_t found{};
  // NOSORT: glob's own order follows the locale, and the order of files is part of the data
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT | GLOB_ERR, nullptr, &found);
  std::vector<std::string> files(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  const std::string folder = std::filesystem::path(pattern).parent_path().string();
  const bool plain = folder.find_first_of("*?[") == std::string::npos;
  std::error_code ignored;
  if (files.empty() && plain && !folder.empty() && !std::filesystem::exists(folder, ignored) && !ignored)
    missing(folder, key);
  if (status == GLOB_ABORTED) {
    fail({.message = fmt::format("a folder of the glob {} `{}` cannot be read", key, pattern),
          .file = pattern,
          .key = key,
          .found = "an unreadable folder",
          .expected = "read access to every folder of the glob",
          .cure = "allow reading it, or list the files"});
  }
  if (files.empty()) {
    fail({.message = fmt::format("the glob {} `{}` matches nothing", key, pattern),
          .file = pattern,
          .key = key,
          .found = "0 files",
          .expected = "1 or more files",
          .cure = fmt::format("correct {}; a glob is not recursive", key)});
  }
  std::sort(files.begin(), files.end());
  return files;
}

[[noreturn]] void cannot_open(const std::string& path, const std::string& key, int error) {
  const bool too_many = error == EMFILE || error == ENFILE;
  fail({.message = fmt::format("{} `{}` cannot be opened: {}", key, path, std::strerror(error)),
        .file = path,
        .key = key,
        .found = std::strerror(error),
        .expected = "a readable file",
        .cure =
            too_many ? "join the files into fewer, or raise `ulimit -n`" : "allow reading it, or name another file"});
}

}  // namespace

std::vector<std::string> expand(const std::vector<std::string>& entries, const std::string& key) {
  std::vector<std::string> files;
  for (const std::string& entry : entries) {
    struct stat info {};
    // a name that exists is that file, even if it holds glob characters; so is one that may not be looked at
    if (::stat(entry.c_str(), &info) == 0 || errno != ENOENT) {
      files.push_back(entry);
    } else if (entry.find_first_of("*?[") != std::string::npos) {
      for (std::string& match : glob_matches(entry, key)) files.push_back(std::move(match));
    } else {
      missing(entry, key);
    }
  }
  if (files.empty()) {
    fail({.message = fmt::format("{} is not set", key),
          .key = key,
          .found = "no file",
          .expected = "a file, a list of files or a glob",
          .cure = fmt::format("set {}", key)});
  }
  return files;
}

DataFile::DataFile(std::string path, const std::string& key) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // NONBLOCK: a named pipe is refused, not waited for
  if (fd_ < 0) {
    if (errno == ENOENT) missing(path_, key);
    cannot_open(path_, key, errno);
  }
  struct stat info {};
  const int status = ::fstat(fd_, &info);
  const int error = errno;
  bytes_ = info.st_size;
  if (status == 0 && S_ISREG(info.st_mode) && bytes_ > 0) return;

  ::close(fd_);  // the destructor of a half-made object does not run
  if (status != 0) cannot_open(path_, key, error);
  const bool folder = S_ISDIR(info.st_mode);
  const std::string found = folder ? "a folder" : S_ISREG(info.st_mode) ? "an empty file" : "a device or pipe";
  fail({.message = fmt::format("{} `{}` is {}", key, path_, found),
        .file = path_,
        .key = key,
        .found = found,
        .expected = "a regular file that is not empty",
        .cure = folder ? fmt::format("name its files with a glob such as `{}/*.txt`", path_)
                       : std::string("name a file with data")});
}

DataFile::DataFile(DataFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_) {}

DataFile::~DataFile() {
  if (fd_ >= 0) ::close(fd_);
}

void DataFile::read(int64_t offset, int64_t count, void* out) const {
  auto* to = static_cast<char*>(out);
  while (count > 0) {
    const ssize_t got = ::pread(fd_, to, static_cast<size_t>(count), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const std::string found = got < 0 ? std::string(std::strerror(errno)) : "the end of the file";
      fail({.message = fmt::format("reading data at byte {} failed: {}", offset, found),
            .file = path_,
            .found = found,
            .expected = fmt::format("the {} bytes that the file had when it was opened", bytes_),
            .cure = "restore the file, and do not change data during a run"});
    }
    to += got;
    offset += got;
    count -= got;
  }
}

}  // namespace ringmaster::data
