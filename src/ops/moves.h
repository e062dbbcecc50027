// SPDX-License-Identifier: Apache-2.0
// moves: what ops share that only move elements: any dtype, no arithmetic, bits kept.
#pragma once
#include <cstring>
#include <memory>

#include "ops/element.h"

namespace ringmaster::ops {

// output 0 = input 0, for ops that are a view of it but could not be placed as one
inline std::unique_ptr<ir::Kernel> copy_cpu(const ir::OpView& v, int threads) {
  const int64_t bytes = v.out[0].bytes(), piece = 1 << 18, pieces = (bytes + piece - 1) / piece;
  return ir::make_kernel([=](const ir::KernelArgs& args) {
    const char* x = args.input<char>(0);
    char* y = args.output<char>(0);
    if (x == y) return;
#pragma omp parallel for num_threads(threads) if (pieces > 1) schedule(static)
    for (int64_t p = 0; p < pieces; ++p)
      std::memcpy(y + p * piece, x + p * piece, static_cast<size_t>(std::min(piece, bytes - p * piece)));
  });
}

// Copies `rows` rows of `bytes` bytes; the pitches are the distances between row starts.
inline void copy_rows(char* to, int64_t pitch_to, const char* from, int64_t pitch_from, int64_t rows, int64_t bytes,
                      int threads) {
#pragma omp parallel for num_threads(threads) if (rows * bytes >= 65536) schedule(static)
  for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * pitch_to, from + r * pitch_from, static_cast<size_t>(bytes));
}

}  // namespace ringmaster::ops
