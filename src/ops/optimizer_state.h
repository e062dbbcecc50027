// SPDX-License-Identifier: Apache-2.0
// optimizer_state: between memory, where an update keeps its states, and the f32 tiles in L1 that its rule computes on. A weight lies
// in f32, alone or beside its copy in 16 bits, or in two halves (backend/cpu/halves.h); what else the rule keeps in f32, or in bf16
// rounded stochastically (backend/cpu/stochastic.h).
#pragma once
#include <algorithm>

#include "backend/cpu/halves.h"
#include "backend/cpu/lanes.h"
#include "backend/cpu/stochastic.h"
#include "ir/op.h"
#include "ops/random.h"

namespace ringmaster::ops {

inline const ir::AttrSpec rounding_attr{"rounding", int64_t{0}, false, "stream of random bits; of states in bf16"};
inline const ir::AttrSpec element_attr{"element", int64_t{0}, false,
                                       "of a part: its first one's place in the tensor; a multiple of 32"};

// What a rule reads and writes: the states, the weight first, and the gradient. `now` may be `old`: an element needs no other one.
struct UpdateTile {
  // Elements. Eight tensors of them are 16 KiB, half of the smallest L1; 32 of them share their random words (RandomLanes).
  static constexpr int64_t most = 512;
  static constexpr int most_states = 3;
  const float* old[most_states];
  float* now[most_states];
  const float* gradient;
  int64_t count;
};

// The weight from and to its two halves: bf16 in and out 0, what it has beyond that in and out `remainder`.
inline void join_tile(const ir::KernelArgs& a, int remainder, int64_t begin, float* w, int64_t count) {
  const bf16* high = a.input<bf16>(0) + begin;
  const uint16_t* low = a.input<uint16_t>(remainder) + begin;
  backend::for_lanes(
      count, [&](int64_t i, int64_t n) { backend::store(w + i, backend::load_joined(high + i, low + i, n), n); });
}
inline void split_tile(const ir::KernelArgs& a, int remainder, int64_t begin, const float* w, int64_t count) {
  bf16* high = a.output<bf16>(0) + begin;
  uint16_t* low = a.output<uint16_t>(remainder) + begin;
  backend::for_lanes(
      count, [&](int64_t i, int64_t n) { backend::store_split(high + i, low + i, backend::load(w + i, n), n); });
}

// States 1 and 2 to bf16, each rounded by its own half of the random bits of its element in the tensor, which is `first` further on;
// begin and first are multiples of 32.
inline void round_tile(const ir::KernelArgs& a, int states, const RandomStream& stream, int64_t first, int64_t begin,
                       const UpdateTile& t) {
  constexpr int64_t width = backend::RandomLanes::width;
  for (int64_t i = 0; i < t.count; i += width) {
    const backend::RandomLanes random =
        backend::random_lanes(stream, static_cast<uint64_t>((first + begin + i) / width));
    for (int half = 0; half < 2; ++half) {
      const int64_t at = i + half * backend::Lanes::width, n = std::min(backend::Lanes::width, t.count - at);
      if (n <= 0) break;
      using enum backend::RandomHalf;
      backend::store_stochastic<low>(a.output<bf16>(1) + begin + at, backend::load(t.now[1] + at, n), random, half, n);
      if (states < 3) continue;
      backend::store_stochastic<high>(a.output<bf16>(2) + begin + at, backend::load(t.now[2] + at, n), random, half, n);
    }
  }
}

}  // namespace ringmaster::ops
