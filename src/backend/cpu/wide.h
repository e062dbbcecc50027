// SPDX-License-Identifier: Apache-2.0
// wide: loops that the compiler vectorises, once for every CPU (AVX2) and once for those with AVX-512, chosen at run time. The bits
// are the same: such loops compute each element by itself, and no product and sum are contracted (-ffp-contract=off).
#pragma once
#include "core/isa.h"

namespace ringmaster::backend {

inline bool is_wide() {
  static const bool wide = usable_isa() >= Isa::avx512;
  return wide;
}

// `flatten` draws all that `body` calls into here, where it is compiled for the wider registers.
template <typename Body>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl"), gnu::flatten, gnu::noinline]] void run_wide(const Body& body) {
  body();
}

// body() as fast as this CPU can; it holds the loops, not one element of them.
template <typename Body> void in_widest(const Body& body) {
  if (is_wide())
    run_wide(body);
  else
    body();
}

}  // namespace ringmaster::backend
