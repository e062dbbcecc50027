// SPDX-License-Identifier: Apache-2.0
// reference: the data of the ring's tests and what must come of it, worked out by adding all ranks' values one after the other
// in the order that src/comm/collective.h documents; nothing of the ring's code is used.
#pragma once
#include "comm/comm.h"

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>

namespace ringmaster::comm::suite {

inline void require(bool fact, const std::string& text) {
  if (!fact) throw std::runtime_error(text);
}

// Ends the process when a test hangs; far beyond any honest run on a loaded machine.
class Watchdog {
 public:
  Watchdog()
      : thread_([this] {
          std::unique_lock lock(mutex_);
          if (done_.wait_for(lock, std::chrono::seconds(240), [this] { return ended_; })) return;
          std::fprintf(stderr, "watchdog: the test hangs\n");
          std::abort();
        }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    done_.notify_all();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool ended_ = false;
  std::thread thread_;
};

inline uint64_t mixed(uint64_t x) {  // splitmix64 (Steele, Lea, Flood 2014)
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// Of mixed magnitudes and signs, so that another order of addition gives other bits.
template <typename T> T value_of(int rank, int64_t i) {
  const uint64_t h = mixed(static_cast<uint64_t>(i) * 64 + static_cast<uint64_t>(rank));
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(h);
  } else {
    const auto fraction = static_cast<T>(static_cast<double>(h & 0xffffffU) / 16777216.0 - 0.5);
    return std::ldexp(fraction, static_cast<int>(h >> 60));
  }
}

template <typename T> T combine(T so_far, T next, Reduce reduce) {
  if (reduce == Reduce::max) return so_far > next ? so_far : next;
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(so_far) + static_cast<U>(next));
  } else {
    return so_far + next;
  }
}

template <typename T> T reference(int64_t i, int chunk, int size, Reduce reduce) {
  T value = value_of<T>((chunk + 1) % size, i);
  for (int hop = 2; hop <= size; ++hop) value = combine(value, value_of<T>((chunk + hop) % size, i), reduce);
  return value;
}

template <typename T> std::vector<T> values_of(int rank, int64_t elements) {
  std::vector<T> values(static_cast<size_t>(elements));
  for (int64_t i = 0; i < elements; ++i) values[static_cast<size_t>(i)] = value_of<T>(rank, i);
  return values;
}

// Chunks by hand: the first (elements mod size) have one element more.
inline std::vector<int64_t> chunk_lengths(int64_t elements, int size) {
  std::vector<int64_t> lengths(static_cast<size_t>(size), elements / size);
  for (int64_t c = 0; c < elements % size; ++c) lengths[static_cast<size_t>(c)] += 1;
  return lengths;
}

template <typename T>
void expect_chunk(std::span<const T> got, int64_t begin, int64_t length, int chunk, int size, Reduce reduce) {
  for (int64_t i = begin; i < begin + length; ++i) {
    const T want = reference<T>(i, chunk, size, reduce);
    const T have = got[static_cast<size_t>(i)];
    require(std::memcmp(&want, &have, sizeof(T)) == 0,
            fmt::format("element {} of chunk {} is {}, expected {}", i, chunk, have, want));
    if constexpr (std::is_floating_point_v<T>) {
      double exact = 0, magnitude = 0;
      for (int rank = 0; rank < size; ++rank) {
        exact += static_cast<double>(value_of<T>(rank, i));
        magnitude += std::fabs(static_cast<double>(value_of<T>(rank, i)));
      }
      const double bound = size * magnitude * static_cast<double>(std::numeric_limits<T>::epsilon());
      require(reduce == Reduce::max || std::fabs(static_cast<double>(have) - exact) <= bound,
              fmt::format("element {} is {}, the exact sum {}", i, have, exact));
    }
  }
}

}  // namespace ringmaster::comm::suite
