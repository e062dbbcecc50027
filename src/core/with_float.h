// SPDX-License-Identifier: Apache-2.0
// with_float: from a dtype at run time to its storage type.
#pragma once
#include "core/dtype.h"
#include "core/error.h"

namespace ringmaster {

// Calls f(T()) with the storage type of a float dtype that kernels take; whoever made the kernel has refused the others.
template <typename F> decltype(auto) with_float(DType dtype, const F& f) {
  switch (dtype) {
    case DType::bf16: return f(bf16{});
    case DType::f16: return f(f16{});
    default: CHECK(dtype == DType::f32, "a kernel for {}", name(dtype)); return f(float{});
  }
}

}  // namespace ringmaster
