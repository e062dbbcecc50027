// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/run_folder.h"

#include "checkpoint/json.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ringmaster::checkpoint {
namespace {

constexpr const char* marker_name = "ringmaster.run";
constexpr const char* cure_for_held = "wait for that run or stop it, or give another folder with --run-dir";
constexpr size_t marker_bytes = 512;  // one sector, padded with spaces: rewriting it in place is never torn nor shorter

Error refuse(const Path& folder, std::string message, std::string cure) {
  return Error({.kind = ErrorKind::config,
                .message = std::move(message),
                .file = folder.string(),
                .key = "output.dir",
                .cure = std::move(cure)});
}

// "process 4242 on node07" as far as the marker says
std::string holder(const Path& marker) {
  try {
    const auto text = read_file(marker, {.max_bytes = marker_bytes});
    const auto content = parse_strict(text, marker.string());
    return fmt::format("process {} on {}", content.at("pid").get<int64_t>(), content.at("host").get<std::string>());
  } catch (const std::exception&) {
    return "another process";  // it has the lock but has not said its name yet
  }
}

// Nothing is written into a folder that is not empty and not ours.
void check_ours_or_empty(const Path& folder) {
  std::error_code error;
  const auto status = std::filesystem::status(folder, error);
  if (status.type() == std::filesystem::file_type::not_found) return;
  const std::string cure = "give another folder with --run-dir";
  if (!std::filesystem::is_directory(status))
    throw refuse(folder, "is not a folder, so it cannot be a run folder", cure);
  const auto names = list_folder(folder);
  for (const std::string& name : names)
    if (name == marker_name) return;
  if (!names.empty()) {
    throw refuse(
        folder,
        fmt::format("holds other files (\"{}\"), and no {} says that it is a run folder", names[0], marker_name), cure);
  }
}

void write_marker(int fd, const Path& marker, std::string_view version) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const nlohmann::ordered_json content{
      {"ringmaster", "run"}, {"version", version}, {"pid", ::getpid()}, {"host", host.data()}};
  std::string text = content.dump();
  CHECK(text.size() < marker_bytes, "the marker needs {} bytes", text.size());
  text.resize(marker_bytes - 1, ' ');
  text += '\n';
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) || ::fsync(fd) != 0) {
    throw errno_error("cannot write", marker);
  }
}

}  // namespace

RunFolder RunFolder::claim(const Path& folder, std::string_view version) {
  check_ours_or_empty(folder);
  make_folders(folder);
  const Path marker = folder / marker_name;
  const int fd = ::open(marker.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) throw errno_error("cannot open", marker, ErrorKind::config);
  RunFolder run(std::filesystem::absolute(folder), fd);  // the descriptor has an owner from here on
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    throw refuse(folder, fmt::format("{} in it is not a file", marker_name), "give another folder with --run-dir");
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw errno_error("cannot lock", marker, ErrorKind::config);
    throw refuse(folder, fmt::format("is held by a live run: {}", holder(marker)), cure_for_held);
  }
  write_marker(fd, marker, version);
  sync_folder(folder);
  return run;
}

void RunFolder::check(const Path& folder) {
  check_ours_or_empty(folder);
  const Path marker = folder / marker_name;
  const int fd = ::open(marker.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;  // there is none yet, or claim() will say what is wrong with it
  const RunFolder probe(folder, fd);
  if (::flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  throw refuse(folder, fmt::format("is held by a live run: {}", holder(marker)), cure_for_held);
}

RunFolder::RunFolder(RunFolder&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

RunFolder::~RunFolder() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace ringmaster::checkpoint
