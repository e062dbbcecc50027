// SPDX-License-Identifier: Apache-2.0
#include "models/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "core/philox.h"

namespace ringmaster::models {
namespace {

using Text = std::vector<int32_t>;

// The ids that may be drawn, ascending. `weight` gives the odds of an id, not normalised.
template <typename Weight>
std::vector<size_t> candidates(std::span<const float> logits, const Choice& choice, const Weight& weight) {
  std::vector<size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), size_t{0});
  const bool cut_k = choice.top_k > 0 && static_cast<size_t>(choice.top_k) < ids.size();
  if (!cut_k && choice.top_p >= 1.0) return ids;
  std::stable_sort(ids.begin(), ids.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (cut_k) ids.resize(static_cast<size_t>(choice.top_k));
  if (choice.top_p < 1.0) {
    double total = 0, mass = 0;
    for (const size_t id : ids) total += weight(logits[id]);
    size_t kept = 0;
    while (kept < ids.size() && (kept == 0 || mass < choice.top_p * total)) mass += weight(logits[ids[kept++]]);
    ids.resize(kept);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

// The last seq_len tokens, all at once.
std::span<const float> run_sampler(ir::Program& program, const Text& text, size_t T) {
  auto* tokens = static_cast<int32_t*>(program.input("tokens", 0));
  auto* select = static_cast<float*>(program.input("select", 0));
  const size_t length = std::min(text.size(), T);
  std::fill_n(tokens, T, 0);  // causal: what follows the last token does not matter
  std::copy(text.end() - static_cast<int64_t>(length), text.end(), tokens);
  std::fill_n(select, T, 0.0F);
  select[length - 1] = 1.0F;
  program.run({}, 1);
  return program.output("logits");
}

// The tokens from `first` on, one by one; those before them are in the caches.
std::span<const float> run_decoder(ir::Program& program, const Text& text, size_t first) {
  for (size_t i = first; i < text.size(); ++i) {
    *static_cast<int32_t*>(program.input("token", 0)) = text[i];
    program.set_scalar("position", static_cast<double>(i));
    program.run({}, 1);
  }
  return program.output("logits");
}

}  // namespace

int32_t draw_token(std::span<const float> logits, const Choice& choice, double u) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (choice.temperature == 0.0) return static_cast<int32_t>(best - logits.begin());
  const auto weight = [&](float logit) {
    return std::exp((static_cast<double>(logit) - static_cast<double>(*best)) / choice.temperature);
  };
  const std::vector<size_t> ids = candidates(logits, choice, weight);
  double total = 0;
  for (const size_t id : ids) total += weight(logits[id]);
  double left = u * total;
  for (const size_t id : ids) {
    left -= weight(logits[id]);
    if (left < 0) return static_cast<int32_t>(id);
  }
  return static_cast<int32_t>(best - logits.begin());  // u was 1 to rounding
}

std::vector<int32_t> generate_text(const TextPrograms& programs, std::vector<int32_t> prompt,
                                   const TextOptions& options, const std::function<void(int32_t)>& on_token) {
  CHECK(!prompt.empty(), "a prompt has at least one token");
  const auto T = static_cast<size_t>(options.seq_len);
  const RandomStream stream({.seed = options.seed, .stream = stable_hash("sampler.text")});
  Text text = std::move(prompt), made;
  size_t cached = 0;  // tokens of the text that the decoder has seen
  for (int64_t i = 0; i < options.tokens; ++i) {
    const bool decode = programs.decoder != nullptr && text.size() <= T;
    const std::span<const float> logits =
        decode ? run_decoder(*programs.decoder, text, cached) : run_sampler(programs.sampler, text, T);
    cached = text.size();
    const PhiloxCounter words = stream.words(options.sequence, static_cast<uint64_t>(i));
    const int32_t token = draw_token(logits, options.choice, static_cast<double>(words[0]) * 0x1p-32);
    text.push_back(token);
    made.push_back(token);
    if (on_token) on_token(token);
  }
  return made;
}

}  // namespace ringmaster::models
