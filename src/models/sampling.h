// SPDX-License-Identifier: Apache-2.0
// sampling: host C++ over a compiled program. Every draw is a function of (seed, sequence, position), so the same arguments
// give the same tokens on any number of ranks.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "ir/program.h"

namespace ringmaster::models {

struct TextOptions {
  int64_t seq_len = 0;       // context of the program
  int64_t tokens = 0;        // to generate
  double temperature = 1.0;  // 0: the most probable token (the lowest id of equals)
  uint64_t seed = 0;
  uint64_t sequence = 0;  // index of this sample
};

// Continues `prompt` (at least one token); returns the new tokens. The context is the last seq_len tokens.
// `on_token` (may be empty) sees each token as it is drawn.
std::vector<int32_t> generate_text(ir::Program& program, std::vector<int32_t> prompt, const TextOptions& options,
                                   const std::function<void(int32_t)>& on_token = {});

// One draw from softmax(logits / temperature), u in [0, 1).
int32_t draw_token(std::span<const float> logits, double temperature, double u);

}  // namespace ringmaster::models
