// SPDX-License-Identifier: Apache-2.0
// row_matmul: a product whose rows have the same bits however many of them there are. oneDNN picks other loops for one row than
// for many, so these are our own: an element is one chain of fused multiply-adds in the order of k (a plain b), or the 16-lane
// sum (a transposed b, whose rows lie along k). It depends on k alone.
#pragma once
#include "backend/cpu/dnnl.h"

namespace ringmaster::backend {

// f32, bf16 or f16, computed in f32 and rounded once; no transpose_a. Blocks, needs no scratch; the bits do not depend on threads.
void row_matmul(const MatmulSpec& spec, int threads, const void* a, const void* b, const void* bias, void* c);

}  // namespace ringmaster::backend
