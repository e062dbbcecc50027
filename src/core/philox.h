// SPDX-License-Identifier: Apache-2.0
// philox: counter-based random numbers, Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
// Every random number is a pure function of what it is for: (seed, stream, step, phase, repeat, sample, element).
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace ringmaster {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

inline constexpr int philox_rounds = 10;
inline constexpr std::array<uint32_t, 2> philox_multipliers{0xD2511F53U, 0xCD9E8D57U};
inline PhiloxKey next_round(PhiloxKey k) { return {k[0] + 0x9E3779B9U, k[1] + 0xBB67AE85U}; }

inline PhiloxCounter philox4x32_10(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < philox_rounds; ++round) {
    const uint64_t p0 = uint64_t{philox_multipliers[0]} * c[0];
    const uint64_t p1 = uint64_t{philox_multipliers[1]} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k = next_round(k);
  }
  return c;
}

// A 64-bit hash that never changes between versions: streams are hashes of a module path and call index.
uint64_t stable_hash(std::string_view text, uint64_t seed = 0);
// Mixes two 64-bit words into one (splitmix64 finaliser over both).
uint64_t mix(uint64_t a, uint64_t b);

// What a random draw is for. step, phase and repeat are 0 for parameter initialisation.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t step = 0;
  uint32_t phase = 0;
  uint32_t repeat = 0;
};
// The Philox key and the two high counter words of a draw; the low words are (sample, element / 4) given per call.
class RandomStream {
 public:
  explicit RandomStream(const RandomKey& key);
  // four words for elements 4*block .. 4*block+3 of global sample `sample`
  PhiloxCounter words(uint64_t sample, uint64_t block) const { return philox4x32_10(counter(sample, block), key_); }
  PhiloxCounter counter(uint64_t sample, uint64_t block) const {
    const uint64_t hi = base_ ^ (sample * 0x9E3779B97F4A7C15ULL);
    return {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(hi),
            static_cast<uint32_t>(hi >> 32)};
  }
  PhiloxKey key() const { return key_; }

 private:
  PhiloxKey key_;
  uint64_t base_;
};

// [0, 1) with 24 bits
inline float uniform(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24F; }

// N(0, 1) of two words; Box and Muller 1958. (0, 1] keeps the logarithm finite.
inline double normal(uint32_t radius, uint32_t turn) {
  const double u = (static_cast<double>(radius) + 1.0) * 0x1p-32;
  const double angle = 2.0 * std::numbers::pi * static_cast<double>(turn) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
}

}  // namespace ringmaster
