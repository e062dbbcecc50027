// SPDX-License-Identifier: Apache-2.0
// with_float: from a dtype at run time to its storage type.
#pragma once
#include "core/dtype.h"
#include "core/error.h"

namespace ringmaster {

inline bool is_16_bit_float(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

// Calls f(T()) with the storage type of a 16-bit float; whoever asks has refused the others.
template <typename F> decltype(auto) with_16_bit_float(DType dtype, const F& f) {
  CHECK(is_16_bit_float(dtype), "a kernel for {}, expected bf16 or f16", name(dtype));
  return dtype == DType::bf16 ? f(bf16{}) : f(f16{});
}

// The floats that kernels take; f64 is the reference's alone.
inline bool is_kernel_float(DType dtype) { return dtype == DType::f32 || is_16_bit_float(dtype); }

// The same of any of them.
template <typename F> decltype(auto) with_float(DType dtype, const F& f) {
  if (is_16_bit_float(dtype)) return with_16_bit_float(dtype, f);
  CHECK(dtype == DType::f32, "a kernel for {}, expected f32, bf16 or f16", name(dtype));
  return f(float{});
}

}  // namespace ringmaster
