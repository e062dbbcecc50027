// SPDX-License-Identifier: Apache-2.0
// flash_avx512: flash attention's loops in 512-bit registers: f32, with the bits of flash_avx2.cpp, and bf16 by the dot products of
// AVX512-BF16 (two products and a sum in one instruction, f32 sums). Built with those options, run where CPUID has them.
#include "backend/cpu/avx512.h"
#include "backend/cpu/flash_backward.h"

namespace ringmaster::backend::flash {
const Loops f32_avx512{forward<avx512::F32>, backward<avx512::F32>};
const Loops bf16_avx512{forward<avx512::Bf16>, backward<avx512::Bf16>};

}  // namespace ringmaster::backend::flash
