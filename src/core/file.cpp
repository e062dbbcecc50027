// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace ringmaster {
namespace {

// write() and pread() move at most 0x7ffff000 bytes a call.
constexpr size_t largest_io = size_t{1} << 30;

const char* kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

namespace {
std::string cure_of(int number) {
  switch (number) {
    case ENOSPC:
    case EDQUOT: return "free some space there, or choose a place with more";
    case EROFS:
    case EACCES:
    case EPERM: return "choose a place that you may read and write, or change its permissions";
    default: return "";
  }
}
}  // namespace

Error errno_error(std::string_view action, const Path& path, ErrorKind kind) {
  const int number = errno;
  return Error({.kind = kind,
                .message = fmt::format("{}: {}", action, std::strerror(number)),
                .file = path.string(),
                .cure = cure_of(number)});
}

File File::open_read(const Path& path, const OpenOptions& options) {
  // O_NONBLOCK: opening a FIFO must fail below instead of waiting for its writer.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (options.follow_links ? 0 : O_NOFOLLOW);
  const int fd = ::open(path.c_str(), flags);
  if (fd < 0 && errno == ELOOP && !options.follow_links) {
    throw Error({.kind = options.kind, .message = "is a symbolic link", .file = path.string(), .expected = "a file"});
  }
  if (fd < 0) throw errno_error("cannot open", path, options.kind);
  File file(fd, path, options.kind);
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw errno_error("cannot read", path, options.kind);
  if (!S_ISREG(status.st_mode)) {
    throw Error({.kind = options.kind,
                 .message = fmt::format("is {}, not a file", kind_of_file(status.st_mode)),
                 .file = path.string(),
                 .found = kind_of_file(status.st_mode),
                 .expected = "a file"});
  }
  return file;
}

File File::create_new(const Path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) throw errno_error("cannot create", path);
  return File(fd, path, ErrorKind::io);
}

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), kind_(other.kind_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(kind_, other.kind_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

int64_t File::size() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) throw errno_error("cannot read the size", path_, kind_);
  return status.st_size;
}

void File::pread_exact(std::span<std::byte> out, int64_t offset) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, std::min(out.size() - done, largest_io), offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw errno_error(fmt::format("cannot read at byte {}", offset + static_cast<int64_t>(done)), path_, kind_);
    if (got == 0) {
      const int64_t end = offset + static_cast<int64_t>(out.size());
      throw Error({.kind = kind_,
                   .message = fmt::format("ends at byte {}, but bytes {} to {} are needed", size(), offset, end),
                   .file = path_.string(),
                   .found = fmt::format("{} bytes", size()),
                   .expected = fmt::format("at least {} bytes", end)});
    }
    done += static_cast<size_t>(got);
  }
}

void File::write_all(const void* data, size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(fd_, from, std::min(bytes, largest_io));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw errno_error("cannot write", path_, kind_);
    from += put;
    bytes -= static_cast<size_t>(put);
  }
}

void File::pwrite_all(std::span<const std::byte> data, int64_t offset) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd_, data.data(), std::min(data.size(), largest_io), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw errno_error("cannot write", path_, kind_);
    data = data.subspan(static_cast<size_t>(put));
    offset += put;
  }
}

void File::sync_and_close() {
  if (::fsync(fd_) != 0) throw errno_error("cannot make durable", path_, kind_);
  if (::close(std::exchange(fd_, -1)) != 0) throw errno_error("cannot close", path_, kind_);
}

MappedFile::MappedFile(const Path& path, const OpenOptions& options) {
  const File file = File::open_read(path, options);
  const auto size = static_cast<size_t>(file.size());
  if (size == 0) return;  // mmap refuses length 0
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) throw errno_error("cannot map", path, options.kind);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::string read_file(const Path& path, const ReadOptions& options) {
  const File file = File::open_read(path, {.kind = options.kind, .follow_links = options.follow_links});
  const int64_t size = file.size();
  if (size > options.max_bytes) {
    throw Error(
        {.kind = options.kind,
         .message = fmt::format("has {} bytes, more than the {} that such a file may have", size, options.max_bytes),
         .file = path.string(),
         .found = fmt::format("{} bytes", size),
         .expected = fmt::format("at most {} bytes", options.max_bytes)});
  }
  std::string text(static_cast<size_t>(size), '\0');
  file.pread_exact(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

void write_file_atomic(const Path& given, const std::function<void(File&)>& write) {
  std::error_code unknown;
  // What a link leads to is replaced, not the link; one that leads nowhere yet is followed too.
  Path path = given;
  for (int links = 0; std::filesystem::is_symlink(path, unknown) && links < 40; ++links) {
    const Path target = std::filesystem::read_symlink(path, unknown);
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  if (const auto status = std::filesystem::status(path, unknown);
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    errno = std::filesystem::is_directory(status) ? EISDIR : EEXIST;
    throw errno_error("is not a regular file, which alone can be replaced", path);
  }
  const Path folder = path.has_parent_path() ? path.parent_path() : Path(".");
  const Path temporary = folder / fmt::format(".tmp-{}-{}", ::getpid(), path.filename().string());
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);  // of a dead process that had our pid
  try {
    File file = File::create_new(temporary);
    write(file);
    file.sync_and_close();
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw errno_error("cannot rename into place", path);
  } catch (...) {
    std::filesystem::remove(temporary, ignored);
    throw;
  }
  sync_folder(folder);
}

void write_file_atomic(const Path& path, std::string_view bytes) {
  write_file_atomic(path, [&](File& file) { file.write_all(bytes.data(), bytes.size()); });
}

void make_folders(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path)) {
    errno = error ? error.value() : ENOTDIR;
    throw errno_error("cannot create the folder", path);
  }
}

void sync_folder(const Path& path) {
  const int fd = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw errno_error("cannot open the folder", path);
  const int status = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  errno = error;
  if (status != 0) throw errno_error("cannot make the folder durable", path);
}

std::vector<std::string> list_folder(const Path& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    errno = error.value();
    throw errno_error("cannot list the folder", path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Path cache_folder() {
  const auto set = [](const char* variable) -> std::string {
    const char* value = std::getenv(variable);
    return value == nullptr ? "" : value;
  };
  if (const std::string own = set("RINGMASTER_CACHE_DIR"); !own.empty()) return own;
  if (const std::string cache = set("XDG_CACHE_HOME"); !cache.empty()) return Path(cache) / "ringmaster";
  std::string home = set("HOME");
  const passwd* user = home.empty() ? ::getpwuid(::geteuid()) : nullptr;
  if (user != nullptr && user->pw_dir != nullptr) home = user->pw_dir;
  if (home.empty()) return {};
  return Path(home) / ".cache" / "ringmaster";
}

}  // namespace ringmaster
