// SPDX-License-Identifier: Apache-2.0
// optimizer_state: how update rules store what they keep: in f32 as it is, in bf16 rounded stochastically (backend/cpu/stochastic.h);
// the weight in f32 or in two halves (backend/cpu/halves.h).
#pragma once
#include <algorithm>
#include <type_traits>

#include "backend/cpu/halves.h"
#include "backend/cpu/lanes.h"
#include "backend/cpu/stochastic.h"
#include "core/error.h"
#include "ir/op.h"
#include "ops/random.h"

namespace ringmaster::ops {

inline const ir::AttrSpec rounding_attr{"rounding", int64_t{0}, false, "stream of random bits; of states in bf16"};

// How 16 lanes of states are stored: f32 as they are, bf16 rounded by the bits of their elements.
struct StoreExact {
  int64_t n;
  void first(float* p, backend::Lanes x) const { backend::store(p, x, n); }
  void second(float* p, backend::Lanes x) const { backend::store(p, x, n); }
};
struct StoreRounded {
  const backend::RandomLanes& random;
  int half;
  int64_t n;
  void first(bf16* p, backend::Lanes x) const {
    backend::store_stochastic<backend::RandomHalf::low>(p, x, random, half, n);
  }
  void second(bf16* p, backend::Lanes x) const {
    backend::store_stochastic<backend::RandomHalf::high>(p, x, random, half, n);
  }
};

// The weight from element `begin` on, 16 lanes at a time.
struct WholeWeight {
  const float* in;
  float* out;
  WholeWeight(const ir::KernelArgs& a, int64_t begin)
      : in(a.input<float>(0) + begin), out(a.output<float>(0) + begin) {}
  backend::Lanes load(int64_t i, int64_t n) const { return backend::load(in + i, n); }
  void store(int64_t i, backend::Lanes x, int64_t n) const { backend::store(out + i, x, n); }
};
// Beside its copy in 16 bits, output `narrow`, which the next step reads: long after the caches have lost it.
template <typename T> struct WeightAndCopy {
  WholeWeight whole;
  T* copy;
  WeightAndCopy(const ir::KernelArgs& a, int narrow, int64_t begin)
      : whole(a, begin), copy(a.output<T>(narrow) + begin) {
    CHECK(reinterpret_cast<uintptr_t>(copy) % 16 == 0, "a copy at {}", static_cast<const void*>(copy));
  }
  backend::Lanes load(int64_t i, int64_t n) const { return whole.load(i, n); }
  void store(int64_t i, backend::Lanes x, int64_t n) const {
    whole.store(i, x, n);
    backend::stream(copy + i, x, n);
  }
};
struct SplitWeight {
  const bf16* in;
  const uint16_t* in_low;
  bf16* out;
  uint16_t* out_low;
  SplitWeight(const ir::KernelArgs& a, int remainder, int64_t begin)
      : in(a.input<bf16>(0) + begin),
        in_low(a.input<uint16_t>(remainder) + begin),
        out(a.output<bf16>(0) + begin),
        out_low(a.output<uint16_t>(remainder) + begin) {}
  backend::Lanes load(int64_t i, int64_t n) const { return backend::load_joined(in + i, in_low + i, n); }
  void store(int64_t i, backend::Lanes x, int64_t n) const { backend::store_split(out + i, out_low + i, x, n); }
};

// Calls body(i, n, store) for 16 lanes each of elements begin .. begin + count, whose states are `S`; begin is a multiple of 32.
template <typename S, typename Body>
void for_state_lanes(const RandomStream& stream, int64_t begin, int64_t count, const Body& body) {
  if constexpr (std::is_same_v<S, float>) {
    backend::for_lanes(count, [&](int64_t i, int64_t n) { body(i, n, StoreExact{n}); });
  } else {
    constexpr int64_t width = backend::RandomLanes::width, half = backend::Lanes::width;
    for (int64_t i = 0; i < count; i += width) {
      const backend::RandomLanes random = backend::random_lanes(stream, static_cast<uint64_t>((begin + i) / width));
      for (int h = 0; h < 2 && i + h * half < count; ++h) {
        const int64_t n = std::min(half, count - i - h * half);
        body(i + h * half, n, StoreRounded{random, h, n});
      }
    }
  }
}

}  // namespace ringmaster::ops
