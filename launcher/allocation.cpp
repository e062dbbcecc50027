// SPDX-License-Identifier: Apache-2.0
// allocation: the program's own malloc and its kin, operator new included, for itself and all its libraries: they count the calls
// and hand them to the next in line (libc, or what LD_PRELOAD puts before it). What a thread takes within a CallMemory is served
// there, and only what oneDNN does not measure: new and posix_memalign. Not part of the library, and not in builds
// with sanitizers, which bring functions of their own.
#include "core/call_memory.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

// The next function of this name, looked up on first use; any thread may do it, all find the same.
template <typename Function> class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  Function* operator()() {
    Function* found = found_.load(std::memory_order_relaxed);
    if (found == nullptr) {
      found = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name_));
      if (found == nullptr) std::abort();
      found_.store(found, std::memory_order_relaxed);
    }
    return found;
  }

 private:
  const char* name_;
  std::atomic<Function*> found_ = nullptr;
};

// constant initialisation: libraries allocate before the constructors of this file would run
constinit Next<void*(size_t)> next_malloc("malloc");
constinit Next<void*(size_t, size_t)> next_calloc("calloc"), next_memalign("memalign"), next_aligned("aligned_alloc");
constinit Next<void*(void*, size_t)> next_realloc("realloc");
constinit Next<int(void**, size_t, size_t)> next_posix_memalign("posix_memalign");
constinit Next<void(void*)> next_free("free");

void count() { ringmaster::heap_calls.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

extern "C" {

void* malloc(size_t bytes) noexcept {
  count();
  return next_malloc()(bytes);
}

void* calloc(size_t number, size_t bytes) noexcept {
  count();
  return next_calloc()(number, bytes);
}

void* realloc(void* block, size_t bytes) noexcept {
  if (const size_t room = ringmaster::call_room(block); room > 0) {  // its own size is not known
    void* grown = std::malloc(bytes);
    if (grown == nullptr) return nullptr;
    std::memcpy(grown, block, std::min(bytes, room));
    std::free(block);
    return grown;
  }
  count();
  return next_realloc()(block, bytes);
}

void* memalign(size_t align, size_t bytes) noexcept {
  count();
  return next_memalign()(align, bytes);
}

void* aligned_alloc(size_t align, size_t bytes) noexcept {
  count();
  return next_aligned()(align, bytes);
}

int posix_memalign(void** block, size_t align, size_t bytes) noexcept {
  if (void* own = ringmaster::call_allocate(bytes, align)) {
    *block = own;
    return 0;
  }
  count();
  return next_posix_memalign()(block, align, bytes);
}

void free(void* block) noexcept {
  if (block != nullptr && !ringmaster::call_release(block)) next_free()(block);
}

}  // extern "C"

// Array and nothrow forms call these; the aligned ones call aligned_alloc and free.
void* operator new(size_t bytes) {
  if (void* own = ringmaster::call_allocate(bytes, alignof(std::max_align_t))) return own;
  for (;;) {
    if (void* block = std::malloc(bytes > 0 ? bytes : 1)) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
