// SPDX-License-Identifier: Apache-2.0
// A peer's segment is opened through /proc/<pid>/fd, which needs no name in a file system. A token at its beginning proves that it is
// the segment that was meant: process numbers mean nothing across PID namespaces.
#include "comm/node_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>

namespace ringmaster::comm {
namespace {

constexpr int64_t page = 4096;
int64_t round_up(int64_t bytes) { return (bytes + page - 1) / page * page; }

class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) ::close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

// What a rank tells the others of its segment: process, file descriptor, token.
struct Ticket {
  int64_t process = 0, file = 0;
  uint64_t token = 0;
};
std::string to_text(const Ticket& t) { return fmt::format("{} {} {}", t.process, t.file, t.token); }
Ticket ticket_from(const std::string& text) {
  Ticket t;
  const char* end = text.data() + text.size();
  const char* at = std::from_chars(text.data(), end, t.process).ptr;
  if (at != end) at = std::from_chars(at + 1, end, t.file).ptr;
  if (at != end) std::from_chars(at + 1, end, t.token);
  return t;
}

// MemAvailable of the machine.
int64_t available_bytes() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  for (int64_t kilobytes = 0; in >> key >> kilobytes; in.ignore(64, '\n'))
    if (key == "MemAvailable:") return kilobytes << 10;
  return std::numeric_limits<int64_t>::max();
}

uint64_t new_token() {
  std::random_device device;  // only told apart by it: no number of a run depends on it
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

NodeMemory::NodeMemory(Communicator& comm, std::string_view name, int64_t bytes, int channels)
    : comm_(comm),
      channels_(channels),
      data_(page + round_up(static_cast<int64_t>(sizeof(Channel)) * channels)),
      bytes_(bytes) {
  CHECK(bytes >= 0 && channels >= 1, "{} bytes, {} channels", bytes, channels);
  const File file(::memfd_create(std::string(name).c_str(), MFD_CLOEXEC));
  reserve(file.number(), name);
  std::byte* mine = map(file.number(), true);  // zeros: no call was made yet
  const Ticket ticket{::getpid(), file.number(), new_token()};
  std::memcpy(mine, &ticket.token, sizeof ticket.token);
  maps_.resize(comm.node().size());
  maps_[static_cast<size_t>(comm.node_rank())] = mine;
  const std::vector<std::string> tickets = all_gather_bytes(comm, name, to_text(ticket));
  for (int peer = 0; peer < comm.node_size(); ++peer) {
    if (peer == comm.node_rank()) continue;
    const int rank = comm.node()[static_cast<size_t>(peer)];
    const Ticket theirs = ticket_from(tickets[static_cast<size_t>(rank)]);
    const std::string path = fmt::format("/proc/{}/fd/{}", theirs.process, theirs.file);
    const File opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const int reason = errno;
    std::byte* at = opened.number() < 0 ? nullptr : map(opened.number(), false);
    maps_[static_cast<size_t>(peer)] = at;
    if (at != nullptr && std::memcmp(at, &theirs.token, sizeof theirs.token) == 0) continue;
    throw Error({.kind = ErrorKind::rank,
                 .message = fmt::format("rank {} can not open the memory of rank {} on the same node, {}", comm.rank(),
                                        rank, path),
                 .found = at == nullptr ? std::string(std::strerror(reason)) : "another process's file",
                 .expected = "ranks of one node in one PID namespace, of one user",
                 .cure = "start all ranks of a node in one container, or set comm.algorithm to ring"});
  }
  barrier(comm, name);  // nobody closes its file before all have opened it
}

NodeMemory::~NodeMemory() {
  for (std::byte* at : maps_)
    if (at != nullptr) ::munmap(at, static_cast<size_t>(data_ + bytes_));
}

// An anonymous file has no limit of its own: the kernel would go on reserving until it ends somebody.
void NodeMemory::reserve(int file, std::string_view name) const {
  const int64_t all = data_ + bytes_;
  int failed = file < 0 ? errno : 0;
  if (failed == 0 && all > available_bytes()) failed = ENOMEM;
  if (failed == 0) failed = ::posix_fallocate(file, 0, all);
  if (failed == 0) return;
  throw Error({.kind = ErrorKind::memory,
               .message = fmt::format(
                   "{} bytes of memory for `{}`, which the ranks of a node share, can not be reserved", all, name),
               .found = std::strerror(failed),
               .expected = fmt::format("{} bytes for each of {} ranks of this node", all, comm_.node_size()),
               .cure = "use fewer ranks a node, or a machine (or a limit of its cgroup) with more memory"});
}

std::byte* NodeMemory::map(int file, bool is_mine) const {
  // The channels of a peer are read only, as its data is: a rank writes nowhere but in its own segment.
  void* at = ::mmap(nullptr, static_cast<size_t>(data_ + bytes_), is_mine ? PROT_READ | PROT_WRITE : PROT_READ,
                    MAP_SHARED, file, 0);
  if (at != MAP_FAILED) return static_cast<std::byte*>(at);
  throw Error({.kind = ErrorKind::memory,
               .message = fmt::format("{} bytes of a node's memory can not be mapped", data_ + bytes_),
               .found = std::strerror(errno),
               .cure = "raise the limit on address space (ulimit -v)"});
}

NodeMemory::Channel& NodeMemory::channel(int node_rank, int number) const {
  CHECK(number >= 0 && number < channels_, "channel {} of {}", number, channels_);
  std::byte* at = maps_[static_cast<size_t>(node_rank)] + page;
  return reinterpret_cast<Channel*>(at)[number];
}

}  // namespace ringmaster::comm
