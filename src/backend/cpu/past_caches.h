// SPDX-License-Identifier: Apache-2.0
// past_caches: stores around the caches. Of memory that nobody reads soon no line is fetched first.
#pragma once
#include "backend/cpu/lanes.h"

namespace ringmaster::backend {

constexpr int64_t past_caches_alignment = 16;  // bytes, of what is stored to

// n elements of one dtype as another of 16 bits. fence_stores() goes before another thread reads them.
template <typename From, typename To> void copy_lanes_past_caches(const From* from, To* to, int64_t n) {
  static_assert(sizeof(To) == 2);
  for_lanes(n, [&](int64_t i, int64_t count) {
    if (count < Lanes::width) return store_tail(to + i, load_tail(from + i, count), count);
    alignas(32) To half[Lanes::width];
    store(half, load(from + i));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), load_half(half));
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + 8), load_half(half + 8));
  });
}
inline void fence_stores() { _mm_sfence(); }

}  // namespace ringmaster::backend
