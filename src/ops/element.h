// SPDX-License-Identifier: Apache-2.0
// element: what the CPU kernels share: storage types, dispatch over dtypes, the thread rule and the 16-lane sum.
// 16-bit floats are storage: loaded to f32, computed in f32, rounded once. A sum over a row always uses the same 16 lanes,
// whatever the vector width of the machine and the number of threads: that order is part of every op's numerics.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "backend/cpu/parallel.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/with_float.h"
#include "ir/op.h"

namespace ringmaster::ops {

inline float load(float x) { return x; }
inline float load(bf16 x) { return to_float(x); }
inline float load(f16 x) { return to_float(x); }

template <typename T> T store(float x);
template <> inline float store<float>(float x) { return x; }
template <> inline bf16 store<bf16>(float x) { return to_bf16(x); }
template <> inline f16 store<f16>(float x) { return to_f16(x); }

// Calls f(T()) with an unsigned integer of that many bytes: for ops that only move elements.
template <typename F> decltype(auto) with_bytes(int64_t bytes, const F& f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: CHECK(bytes == 8, "elements of {} bytes", bytes); return f(uint64_t{});
  }
}

// Threads worth starting for this many elements: a parallel region costs about as much as 16k elements from memory.
inline int threads_for(int64_t elements, int threads) { return elements < 16384 ? 1 : threads; }

inline void require_float(const ir::Type& type, const char* name) {
  if (is_kernel_float(type.dtype)) return;
  throw Error({.kind = ErrorKind::config,
               .message = std::string(name) + " is " + str(type),
               .found = str(type),
               .expected = "f32, bf16 or f16",
               .cure = "cast it"});
}

// ---- the 16-lane sum: element i goes to lane i % 16, then the lanes are added as a tree
inline constexpr int lanes = 16;

inline float add_lanes(float* acc) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) acc[l] += acc[l + half];
  return acc[0];
}

// Sum of f(0) .. f(n-1), each an f32.
template <typename F> float sum_lanes(int64_t n, const F& f) {
  float acc[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) acc[l] += f(i + l);
  for (int l = 0; i + l < n; ++l) acc[l] += f(i + l);
  return add_lanes(acc);
}

}  // namespace ringmaster::ops
