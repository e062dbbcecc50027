// SPDX-License-Identifier: Apache-2.0
#include "models/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/philox.h"

namespace ringmaster::models {

int32_t draw_token(std::span<const float> logits, double temperature, double u) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature == 0.0) return static_cast<int32_t>(best - logits.begin());
  const auto weight = [&](float logit) {
    return std::exp((static_cast<double>(logit) - static_cast<double>(*best)) / temperature);
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  double left = u * total;
  for (size_t i = 0; i < logits.size(); ++i) {
    left -= weight(logits[i]);
    if (left < 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(best - logits.begin());  // u was 1 to rounding
}

std::vector<int32_t> generate_text(ir::Program& program, std::vector<int32_t> prompt, const TextOptions& options,
                                   const std::function<void(int32_t)>& on_token) {
  CHECK(!prompt.empty(), "a prompt has at least one token");
  const auto T = static_cast<size_t>(options.seq_len);
  const RandomStream stream({.seed = options.seed, .stream = stable_hash("sampler.text")});
  auto* tokens = static_cast<int32_t*>(program.input("tokens", 0));
  auto* select = static_cast<float*>(program.input("select", 0));
  std::vector<int32_t> text = std::move(prompt), made;
  for (int64_t i = 0; i < options.tokens; ++i) {
    const size_t length = std::min(text.size(), T);
    std::fill_n(tokens, T, 0);  // causal: what follows the last token does not matter
    std::copy(text.end() - static_cast<int64_t>(length), text.end(), tokens);
    std::fill_n(select, T, 0.0F);
    select[length - 1] = 1.0F;
    program.run({}, 1);
    const PhiloxCounter words = stream.words(options.sequence, static_cast<uint64_t>(i));
    const int32_t token =
        draw_token(program.output("logits"), options.temperature, static_cast<double>(words[0]) * 0x1p-32);
    text.push_back(token);
    made.push_back(token);
    if (on_token) on_token(token);
  }
  return made;
}

}  // namespace ringmaster::models
