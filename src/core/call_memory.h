// SPDX-License-Identifier: Apache-2.0
// call_memory: where the blocks lie that a library takes and gives back within one of its calls: oneDNN's records of an execution
// and the packing buffers of its gemm, which no interface lets a caller provide. The program's allocation functions
// (launcher/allocation.cpp) ask here first; in a program without them nothing is served from here and the heap serves as ever.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringmaster {

// While it lives, what the calling thread allocates comes from memory of its own, used anew by each call. What is still in use
// afterwards stays valid. Do not create one around a call that keeps what it allocates: the memory would fill up.
class CallMemory {
 public:
  CallMemory() noexcept;
  ~CallMemory();
  // Gives the calling thread its memory now, and touches what calls mostly need, so that no later one waits for pages.
  static void prepare() noexcept;
  CallMemory(const CallMemory&) = delete;
  CallMemory& operator=(const CallMemory&) = delete;

 private:
  bool outer_;  // within another one
};

// For the allocation functions; any thread, never throwing.
void* call_allocate(size_t bytes, size_t align) noexcept;  // null: outside a call, or it does not fit
size_t call_room(const void* block) noexcept;              // bytes to the end of the thread's memory; 0: no such block
bool call_release(const void* block) noexcept;  // gives such a block back; whether it was one; from any thread

// Calls of the heap so far, by all threads, without what a CallMemory served; negative where the program does not count them.
inline std::atomic<int64_t> heap_calls = -1;

}  // namespace ringmaster
