// SPDX-License-Identifier: Apache-2.0
// register_products: small matrix products whose sums stay in registers, over an arithmetic A, which an object file for one
// instruction set has (flash_avx2.cpp, avx512.h). Nothing here may call a function that other object files share: the linker
// would keep one copy of it, perhaps the one for the wider instruction set.
//   A: V sixteen f32; U an operand of `dot`; mr x nr the registers of a product; pair the elements of a unit
// A unit is four bytes: one f32, or a pair of bf16 that are neighbours along the summed dim.
#pragma once
#include <cstdint>

namespace ringmaster::backend {

inline constexpr float log2_e = 0x1.715476p+0F;
// Taylor terms of 2^r, r in [-1/2, 1/2], from r^7 down: within 5e-9
inline constexpr float exp2_terms[] = {0x1.ffcbfcp-17F, 0x1.430912p-13F, 0x1.5d87fep-10F, 0x1.3b2ab6p-7F,
                                       0x1.c6b08ep-5F,  0x1.ebfbep-3F,   0x1.62e43p-1F,   1.0F};

template <typename A> using Tile = typename A::V[A::mr][A::nr];

template <typename A, int NR> [[gnu::always_inline]] inline void clear(typename A::V (&sum)[A::mr][NR]) {
#pragma GCC unroll 8
  for (int i = 0; i < A::mr; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) sum[i][j] = A::set(0.0F);
}
template <typename A, int NR>
[[gnu::always_inline]] inline void load_tile(const float* at, int64_t stride, typename A::V (&sum)[A::mr][NR]) {
#pragma GCC unroll 8
  for (int i = 0; i < A::mr; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) sum[i][j] = A::load(at + i * stride + 16 * j);
}
template <typename A, int NR>
[[gnu::always_inline]] inline void store_tile(float* at, int64_t stride, const typename A::V (&sum)[A::mr][NR]) {
#pragma GCC unroll 8
  for (int i = 0; i < A::mr; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) A::store(at + i * stride + 16 * j, sum[i][j]);
}

// sum[i][j] += a[i * a_row + u * a_step] * b[u * b_step + 16 j ..] over units u: one chain in the order of u. One of a_row and
// a_step is the constant 1 at every call.
template <typename A, int NR>
[[gnu::always_inline]] inline void product(int64_t units, const uint32_t* a, int64_t a_row, int64_t a_step,
                                           const uint32_t* b, int64_t b_step, typename A::V (&sum)[A::mr][NR]) {
  // Three strides reach four rows from each pointer, which is what addressing modes offer. Left alone, the compiler makes one
  // pointer a row and keeps them in memory: the empty asm hides from it how they move.
  const uint32_t* rows[A::mr / 4];
  for (int i = 0; i < A::mr / 4; ++i) rows[i] = a + 4 * i * a_row;
  for (int64_t u = 0; u < units; ++u) {
    typename A::U x[NR];
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) x[j] = A::load_units(b + 16 * j);
#pragma GCC unroll 8
    for (int i = 0; i < A::mr; ++i) {
      const typename A::U y = A::broadcast(rows[i / 4] + i % 4 * a_row);
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) sum[i][j] = A::dot(y, x[j], sum[i][j]);
    }
    for (int i = 0; i < A::mr / 4; ++i) {
      rows[i] += a_step;
      asm("" : "+r"(rows[i]));
    }
    b += b_step;
  }
}

}  // namespace ringmaster::backend
