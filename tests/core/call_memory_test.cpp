// SPDX-License-Identifier: Apache-2.0
#include "core/call_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <thread>

namespace ringmaster {
namespace {

TEST(CallMemory, ServesOnlyWithinACall) {
  EXPECT_EQ(call_allocate(16, 16), nullptr);
  void* block = nullptr;
  {
    const CallMemory memory;
    block = call_allocate(16, 16);
    ASSERT_NE(block, nullptr);
    {
      const CallMemory inner;
      EXPECT_TRUE(call_release(call_allocate(16, 16)));
    }
    void* after = call_allocate(16, 16);
    EXPECT_NE(after, nullptr);
    EXPECT_TRUE(call_release(after));
  }
  EXPECT_EQ(call_allocate(16, 16), nullptr);
  EXPECT_TRUE(call_release(block));
}

TEST(CallMemory, TheNextCallReusesWhatTheLastGaveBack) {
  const auto first_of_a_call = [] {
    const CallMemory memory;
    void *a = call_allocate(100, 64), *b = call_allocate(100, 4096);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 4096, 0U);
    EXPECT_GE(static_cast<char*>(b), static_cast<char*>(a) + 100);
    std::memset(a, 1, 100);
    std::memset(b, 2, 100);
    EXPECT_TRUE(call_release(a));
    EXPECT_TRUE(call_release(b));
    return a;
  };
  EXPECT_EQ(first_of_a_call(), first_of_a_call());
}

TEST(CallMemory, ABlockThatOutlivesItsCallStaysValid) {
  char* kept = nullptr;
  {
    const CallMemory memory;
    kept = static_cast<char*>(call_allocate(64, 16));
    ASSERT_NE(kept, nullptr);
    std::memset(kept, 7, 64);
  }
  {
    const CallMemory memory;
    auto* next = static_cast<char*>(call_allocate(64, 16));
    ASSERT_NE(next, nullptr);
    std::memset(next, 8, 64);
    EXPECT_TRUE(call_release(next));
  }
  for (int i = 0; i < 64; ++i) EXPECT_EQ(kept[i], 7);
  bool released = false;
  std::thread([&] { released = call_release(kept); }).join();  // from any thread
  EXPECT_TRUE(released);
}

// Teams of threads come and go: what one had, the next one gets.
TEST(CallMemory, AThreadThatEndsGivesItsMemoryBack) {
  for (int i = 0; i < 1000; ++i) {
    bool served = false;
    std::thread([&] {
      const CallMemory memory;
      void* block = call_allocate(16, 16);
      served = block != nullptr && call_release(block);
    }).join();
    ASSERT_TRUE(served) << i << " threads";
  }
}

TEST(CallMemory, NoBytesBehindAFullOneAreLeftToTheHeap) {
  const CallMemory memory;
  void* first = call_allocate(16, 4096);
  const size_t room = call_room(first);
  EXPECT_EQ(call_room(nullptr), 0U);
  void* rest = call_allocate(room - 16, 16);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(call_allocate(0, 16), nullptr);
  EXPECT_TRUE(call_release(rest));
  EXPECT_TRUE(call_release(first));
}

TEST(CallMemory, WhatDoesNotFitIsLeftToTheHeap) {
  const CallMemory memory;
  EXPECT_EQ(call_allocate(size_t{1} << 40, 16), nullptr);
  EXPECT_EQ(call_allocate(16, 8192), nullptr);
  void* heap = std::malloc(16);
  EXPECT_FALSE(call_release(heap));
  std::free(heap);
}

}  // namespace
}  // namespace ringmaster
