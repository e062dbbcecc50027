// SPDX-License-Identifier: Apache-2.0
// blocks: elementwise work in pieces that fit L2 with all their tensors, shared out over the threads.
#pragma once
#include <algorithm>
#include <cstdint>

#include "ops/element.h"

namespace ringmaster::ops {

inline constexpr int64_t block_elements = 16384;

// block(begin, count) for pieces of 0..n-1, in any order, on the threads.
template <typename Block> void for_blocks(int64_t n, int threads, const Block& block) {
  backend::parallel_for(threads_for(n, threads), (n + block_elements - 1) / block_elements, [&](int64_t i) {
    block(i * block_elements, std::min(block_elements, n - i * block_elements));
  });
}

}  // namespace ringmaster::ops
