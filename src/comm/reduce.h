// SPDX-License-Identifier: Apache-2.0
// reduce: the arithmetic of reductions: mine[i] = theirs[i] + mine[i], or their maximum.
#pragma once
#include "comm/comm.h"

namespace ringmaster::comm {

bool reducible(DType dtype);  // f32, f64, i32, i64
// Both hold whole elements of `dtype`, aligned to it, equally many, without overlap. Integer sums wrap; a NaN stays a NaN.
void reduce_into(Bytes mine, ConstBytes theirs, DType dtype, Reduce reduce);

}  // namespace ringmaster::comm
