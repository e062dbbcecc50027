// SPDX-License-Identifier: Apache-2.0
// sampling: host C++ over compiled programs. Every draw is a function of (seed, sequence, position), so the same arguments
// give the same tokens on any number of ranks.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "ir/program.h"

namespace ringmaster::models {

// Which tokens may be drawn, and how their odds are bent. top_k acts first; among equal logits the lowest id counts as the first.
struct Choice {
  double temperature = 1.0;  // 0: the most probable token
  int64_t top_k = 0;         // only the k most probable; 0: all
  double top_p = 1.0;  // only the fewest most probable whose odds add up to it (Holtzman et al. 2020, arXiv:1904.09751)
};

struct TextOptions {
  int64_t seq_len = 0;  // context of the programs
  int64_t tokens = 0;   // to generate
  Choice choice = {};
  uint64_t seed = 0;
  uint64_t sequence = 0;  // index of this sample
};

// Logits behind the last token of a text: `sampler` computes them from the last seq_len tokens. `decoder` (may be null), which sees
// one token a run and keeps the others in its caches, gives the same bits sooner until the text is longer than seq_len. Then
// every token moves to another position with each new one, no cached key or value stays right, and the sampler takes over.
struct TextPrograms {
  ir::Program& sampler;
  ir::Program* decoder = nullptr;
};

// Continues `prompt` (at least one token); returns the new tokens. The context is the last seq_len tokens.
// `on_token` (may be empty) sees each token as it is drawn.
std::vector<int32_t> generate_text(const TextPrograms& programs, std::vector<int32_t> prompt,
                                   const TextOptions& options, const std::function<void(int32_t)>& on_token = {});

// One draw from softmax(logits / temperature) over the tokens that may be drawn, u in [0, 1).
int32_t draw_token(std::span<const float> logits, const Choice& choice, double u);

}  // namespace ringmaster::models
