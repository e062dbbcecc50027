// SPDX-License-Identifier: Apache-2.0
// batch: where a batch of B windows of T tokens is written. The memory is the caller's: buffers of the arena.
#pragma once
#include <cstdint>

namespace ringmaster::data {

// Row-major [B, T]. targets[b,t] is the token that follows tokens[b,t]; mask is 1 where the target counts, else 0.
struct BatchMemory {
  int32_t* tokens_BT = nullptr;
  int32_t* targets_BT = nullptr;
  float* mask_BT = nullptr;
};

}  // namespace ringmaster::data
