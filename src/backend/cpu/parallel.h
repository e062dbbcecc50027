// SPDX-License-Identifier: Apache-2.0
// parallel: loops shared out over OpenMP threads. What is meant for one thread opens no parallel region: libgomp would allocate a
// team for it and free it again, once a loop. All others open one of all threads, whatever they have to do: libgomp ends threads
// when a smaller team follows a larger one, and creates them anew for the next.
#pragma once
#include <omp.h>

#include <atomic>
#include <cstdint>

namespace ringmaster::backend {

// body(i) for i = 0..n-1, an equal share of consecutive ones on each thread.
template <typename Body> void parallel_for(int threads, int64_t n, const Body& body) {
  if (threads <= 1) {
    for (int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; ++i) body(i);
}

// The same in vector registers: no body(i) needs what another one did.
template <typename Body> void parallel_simd(int threads, int64_t n, const Body& body) {
  if (threads <= 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for simd num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; ++i) body(i);
}

// body(task, slot) for tasks 0..n-1 as threads become free; slots count the threads that got a task: below threads and below n.
template <typename Body> void parallel_tasks(int threads, int64_t n, const Body& body) {
  if (threads <= 1 || n <= 1) {
    for (int64_t task = 0; task < n; ++task) body(task, 0);
    return;
  }
  std::atomic<int> slots = 0;
#pragma omp parallel num_threads(threads)
  {
    int slot = -1;
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < n; ++task) {
      if (slot < 0) slot = slots.fetch_add(1, std::memory_order_relaxed);
      body(task, slot);
    }
  }
}

}  // namespace ringmaster::backend
