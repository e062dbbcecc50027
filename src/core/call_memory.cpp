// SPDX-License-Identifier: Apache-2.0
#include "core/call_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

namespace ringmaster {
namespace {

// The packing buffers of a 512 x 768 piece of a product with k = 4096 take 20 MiB.
constexpr size_t lane_bytes = size_t{32} << 20;
constexpr size_t opened_at_once = size_t{1} << 20;
constexpr size_t touched_bytes = size_t{512} << 10;
constexpr size_t most_lanes = 256, largest_align = 4096;

// The part of one thread. Only that thread allocates; `top` goes back to the start when no block is left. The first `open` bytes may
// be written: memory that is only reserved does not count towards RLIMIT_DATA.
struct Lane {
  std::atomic<bool> taken = false;
  size_t open = 0;
  std::byte* begin = nullptr;
  size_t top = 0;
  std::atomic<int64_t> blocks = 0;
};

struct Lanes {
  std::atomic<std::byte*> begin = nullptr;
  Lane lane[most_lanes];
};
// constant initialisation: free() asks before any constructor has run and after the last destructor
constinit Lanes lanes;

thread_local constinit Lane* mine = nullptr;
thread_local constinit bool asked = false, within = false;

// Address space alone: a lane takes part in limits of memory from its first thread on.
bool map_lanes() {
  void* p = ::mmap(nullptr, most_lanes * lane_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;  // the heap serves
  lanes.begin.store(static_cast<std::byte*>(p), std::memory_order_release);
  return true;
}

// A thread keeps its lane until it ends; one that comes when none is left goes on with the heap.
Lane* take_lane() {
  static const bool mapped = map_lanes();
  if (!mapped) return nullptr;
  for (size_t i = 0; i < most_lanes; ++i) {
    Lane& lane = lanes.lane[i];
    if (lane.taken.exchange(true, std::memory_order_acquire)) continue;
    lane.begin = lanes.begin.load() + i * lane_bytes;
    return &lane;
  }
  return nullptr;
}

bool open_up_to(Lane& lane, size_t end) {
  if (end <= lane.open) return true;
  const size_t wanted = (end + opened_at_once - 1) / opened_at_once * opened_at_once;
  if (::mprotect(lane.begin + lane.open, wanted - lane.open, PROT_READ | PROT_WRITE) != 0) return false;
  lane.open = wanted;
  return true;
}

// A lane in which somebody still holds a block is not given back.
struct AtThreadEnd {
  ~AtThreadEnd() {
    Lane* lane = std::exchange(mine, nullptr);
    within = false;
    if (lane != nullptr && lane->blocks.load(std::memory_order_acquire) == 0)
      lane->taken.store(false, std::memory_order_release);
  }
};

}  // namespace

void CallMemory::prepare() noexcept {
  if (std::exchange(asked, true)) return;
  thread_local const AtThreadEnd at_end;
  mine = take_lane();
  if (mine != nullptr && mine->open == 0 && open_up_to(*mine, touched_bytes))
    std::memset(mine->begin, 0, touched_bytes);
}

CallMemory::CallMemory() noexcept : outer_(within) {
  prepare();
  within = mine != nullptr;
}

CallMemory::~CallMemory() { within = outer_; }

void* call_allocate(size_t bytes, size_t align) noexcept {
  if (!within || align > largest_align || bytes > lane_bytes) return nullptr;
  bytes = std::max<size_t>(bytes, 1);  // no two blocks at one address
  if (mine->blocks.load(std::memory_order_acquire) == 0) mine->top = 0;
  const size_t step = std::max(align, alignof(std::max_align_t)), at = (mine->top + step - 1) / step * step;
  if (at + bytes > lane_bytes || !open_up_to(*mine, at + bytes)) return nullptr;
  mine->top = at + bytes;
  mine->blocks.fetch_add(1, std::memory_order_relaxed);
  return mine->begin + at;
}

size_t call_room(const void* block) noexcept {
  const auto* begin = lanes.begin.load(std::memory_order_acquire);
  const auto* p = static_cast<const std::byte*>(block);
  if (begin == nullptr || p < begin || p >= begin + most_lanes * lane_bytes) return 0;
  return lane_bytes - static_cast<size_t>(p - begin) % lane_bytes;
}

bool call_release(const void* block) noexcept {
  if (call_room(block) == 0) return false;
  const auto at = static_cast<size_t>(static_cast<const std::byte*>(block) - lanes.begin.load());
  lanes.lane[at / lane_bytes].blocks.fetch_sub(1, std::memory_order_acq_rel);
  return true;
}

}  // namespace ringmaster
