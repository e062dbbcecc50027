// SPDX-License-Identifier: Apache-2.0
#include "exec/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/philox.h"
#include "ir/placement.h"

namespace ringmaster::exec {
namespace {

constexpr int64_t huge_page = int64_t{2} << 20;
constexpr int64_t words_per_line = ir::arena_alignment / 8;

uint64_t paint_word(int64_t index) { return mix(0x5ca1ab1e0ddba11ULL, static_cast<uint64_t>(index)); }

}  // namespace

// A spare line above the plan shows a kernel that writes beyond it.
Arena::Arena(int64_t bytes, const ArenaShares& shares)
    : bytes_(ir::align_up(bytes) + ir::arena_alignment), shares_(shares) {
  mapped_ = bytes_ < huge_page ? bytes_ : bytes_ + huge_page;
  void* memory =
      mmap(nullptr, static_cast<size_t>(mapped_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(
        {.kind = ErrorKind::memory,
         .message = fmt::format("the arena of {} bytes was refused: {}", bytes_, std::strerror(errno)),
         .cure =
             "use a smaller training.grain_size or model, or raise the memory limit (ulimit -d, ulimit -v, cgroup)"});
  }
  memory_ = data_ = static_cast<std::byte*>(memory);
  if (bytes_ < huge_page) return;
  // The rows of a matrix lie pages apart, more of them than the processor has translations for. What lies before and behind is
  // never touched; a system without huge pages says no and nothing is lost.
  data_ += -reinterpret_cast<uintptr_t>(memory) % huge_page;
  madvise(data_, static_cast<size_t>(bytes_), MADV_HUGEPAGE);
}

Arena::~Arena() { munmap(memory_, static_cast<size_t>(mapped_)); }

void Arena::paint() {
  auto* words = reinterpret_cast<uint64_t*>(data_);
  const int64_t n = bytes_ / 8;
#pragma omp parallel for schedule(static)
  for (int64_t i = shares_.shared_bytes / 8; i < n; ++i) words[i] = paint_word(i);
}

int64_t Arena::touched_bytes() const {
  const auto* words = reinterpret_cast<const uint64_t*>(data_);
  const int64_t first = shares_.shared_bytes / ir::arena_alignment;
  for (int64_t line = bytes_ / ir::arena_alignment - 1; line >= first; --line) {
    for (int64_t i = line * words_per_line; i < (line + 1) * words_per_line; ++i)
      if (words[i] != paint_word(i)) return (line + 1) * ir::arena_alignment;
  }
  return shares_.shared_bytes;
}

}  // namespace ringmaster::exec
