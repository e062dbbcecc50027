// SPDX-License-Identifier: Apache-2.0
#include "core/philox.h"

namespace ringmaster {

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t z = a + 0x9E3779B97F4A7C15ULL + (b ^ (b >> 31)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// FNV-1a over the bytes, then mixed: short, fixed for ever, and good enough for a few thousand names.
uint64_t stable_hash(std::string_view text, uint64_t seed) {
  uint64_t h = 0xCBF29CE484222325ULL ^ seed;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return mix(h, text.size());
}

RandomStream::RandomStream(const RandomKey& k) {
  const uint64_t key = mix(k.seed, k.stream);
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  base_ = mix(mix(k.stream, k.step), (static_cast<uint64_t>(k.phase) << 32) | k.repeat);
}

}  // namespace ringmaster
