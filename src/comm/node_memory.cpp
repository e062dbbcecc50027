// SPDX-License-Identifier: Apache-2.0
// A peer's segment is opened through /proc/<pid>/fd, which needs no name in a file system. A token at its beginning proves that it is
// the segment that was meant: process numbers mean nothing across PID namespaces.
#include "comm/node_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cerrno>
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

// What a rank tells the others of its segment: numbers, as an all_gather moves them.
struct Ticket {
  int64_t process = 0, file = 0;
  int64_t token = 0;
};
constexpr int64_t ticket_numbers = sizeof(Ticket) / sizeof(int64_t);

// MemAvailable of the machine.
int64_t available_bytes() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  for (int64_t kilobytes = 0; in >> key >> kilobytes; in.ignore(64, '\n'))
    if (key == "MemAvailable:") return kilobytes << 10;
  return std::numeric_limits<int64_t>::max();
}

// Another process's file may be shorter than a token, and its length is not to be trusted.
bool has_token(int file, int64_t at, int64_t token) {
  int64_t found = 0;
  return ::pread(file, &found, sizeof found, at) == static_cast<ssize_t>(sizeof found) && found == token;
}

int64_t new_token() {
  std::random_device device;  // only told apart by it: no number of a run depends on it
  return static_cast<int64_t>((static_cast<uint64_t>(device()) << 32) | device());
}

}  // namespace

int64_t NodeMemory::head_at(int node_rank) const { return node_rank == 0 ? round_up(shape_.common_bytes) : 0; }
int64_t NodeMemory::head_bytes() const {
  return page + round_up(static_cast<int64_t>(sizeof(Channel)) * shape_.channels);
}
int64_t NodeMemory::file_bytes(int node_rank) const {
  return head_at(node_rank) + head_bytes() + round_up(shape_.bytes);
}

NodeMemory::NodeMemory(Communicator& comm, std::string_view name, const NodeShape& shape)
    : comm_(comm), shape_(shape), heads_(comm.node().size()), data_(comm.node().size()) {
  CHECK(shape.bytes >= 0 && shape.common_bytes >= 0 && shape.channels >= 1, "{} + {} bytes, {} channels", shape.bytes,
        shape.common_bytes, shape.channels);
  const File file(::memfd_create(std::string(name).c_str(), MFD_CLOEXEC));
  reserve(file.number(), name);
  map(file.number(), comm.node_rank());  // zeros: no call was made yet
  const Ticket ticket{::getpid(), file.number(), new_token()};
  std::memcpy(heads_[static_cast<size_t>(comm.node_rank())], &ticket.token, sizeof ticket.token);
  std::vector<Ticket> tickets(static_cast<size_t>(comm.size()));
  tickets[static_cast<size_t>(comm.rank())] = ticket;
  all_gather(comm,
             {.name = name, .dtype = DType::i64, .data = tickets.data(), .elements = comm.size() * ticket_numbers});
  for (int peer = 0; peer < comm.node_size(); ++peer) {
    if (peer == comm.node_rank()) continue;
    const int rank = comm.node()[static_cast<size_t>(peer)];
    const Ticket& theirs = tickets[static_cast<size_t>(rank)];
    const std::string path = fmt::format("/proc/{}/fd/{}", theirs.process, theirs.file);
    const File opened(::open(path.c_str(), (peer == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    const int reason = errno;
    const bool is_one = opened.number() >= 0 && has_token(opened.number(), head_at(peer), theirs.token);
    if (is_one) {
      map(opened.number(), peer);
      continue;
    }
    throw Error({.kind = ErrorKind::rank,
                 .message = fmt::format("rank {} can not open the memory of rank {} on the same node, {}", comm.rank(),
                                        rank, path),
                 .found = opened.number() < 0 ? std::string(std::strerror(reason)) : "another process's file",
                 .expected = "ranks of one node in one PID namespace, of one user",
                 .cure = "start all ranks of a node in one container, or set comm.shared_memory: false"});
  }
  barrier(comm, name);  // nobody closes its file before all have opened it
}

Sent NodeMemory::sent(RingShape shape) {
  shape.elements = shape.size * ticket_numbers;
  shape.element_bytes = sizeof(int64_t);
  return all_gather_sent(shape);
}

NodeMemory::~NodeMemory() {
  for (std::byte* at : heads_)
    if (at != nullptr) ::munmap(at, static_cast<size_t>(head_bytes()));
  // What lies in a range of the caller's goes with that range.
  for (size_t i = 0; i < data_.size(); ++i)
    if (data_[i] != nullptr && data_[i] != shape_.mine_at)
      ::munmap(data_[i], static_cast<size_t>(round_up(shape_.bytes)));
  if (common_ != nullptr && common_ != shape_.common_at)
    ::munmap(common_, static_cast<size_t>(round_up(shape_.common_bytes)));
}

// An anonymous file has no limit of its own: the kernel would go on reserving until it ends somebody.
void NodeMemory::reserve(int file, std::string_view name) const {
  const int64_t all = file_bytes(comm_.node_rank());
  int failed = file < 0 ? errno : 0;
  if (failed == 0 && all > available_bytes()) failed = ENOMEM;
  if (failed == 0) failed = ::posix_fallocate(file, 0, all);
  if (failed == 0) return;
  throw Error(
      {.kind = ErrorKind::memory,
       .message =
           fmt::format("{} bytes of memory for `{}`, which the ranks of a node share, can not be reserved", all, name),
       .found = std::strerror(failed),
       .expected = fmt::format("{} bytes for rank {}, one of {} of this node", all, comm_.rank(), comm_.node_size()),
       .cure = "use fewer ranks a node, or a machine (or a limit of its cgroup) with more memory"});
}

// The channels of a peer are read only, as its segment is: a rank writes its own segment and what is common.
void NodeMemory::map(int file, int node_rank) {
  const bool is_mine = node_rank == comm_.node_rank();
  const auto i = static_cast<size_t>(node_rank);
  const int64_t head = head_at(node_rank);
  heads_[i] = map_range(file, head, head_bytes(), is_mine, nullptr);
  data_[i] = map_range(file, head + head_bytes(), round_up(shape_.bytes), is_mine, is_mine ? shape_.mine_at : nullptr);
  if (node_rank == 0) common_ = map_range(file, 0, round_up(shape_.common_bytes), true, shape_.common_at);
}

std::byte* NodeMemory::map_range(int file, int64_t begin, int64_t bytes, bool writable, std::byte* at) const {
  if (bytes == 0) return nullptr;
  const int flags = MAP_SHARED | MAP_POPULATE | (at != nullptr ? MAP_FIXED : 0);
  void* const found = ::mmap(at, static_cast<size_t>(bytes), writable ? PROT_READ | PROT_WRITE : PROT_READ, flags, file,
                             static_cast<off_t>(begin));
  if (found != MAP_FAILED) return static_cast<std::byte*>(found);
  throw Error({.kind = ErrorKind::memory,
               .message = fmt::format("{} bytes of a node's memory can not be mapped", bytes),
               .found = std::strerror(errno),
               .cure = "raise the limit on address space (ulimit -v)"});
}

NodeMemory::Channel& NodeMemory::channel(int node_rank, int number) const {
  CHECK(number >= 0 && number < shape_.channels, "channel {} of {}", number, shape_.channels);
  std::byte* at = heads_[static_cast<size_t>(node_rank)] + page;
  return reinterpret_cast<Channel*>(at)[number];
}

}  // namespace ringmaster::comm
