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
    backend::parallel_for(pieces > 1 ? threads : 1, pieces, [&](int64_t p) {
      std::memcpy(y + p * piece, x + p * piece, static_cast<size_t>(std::min(piece, bytes - p * piece)));
    });
  });
}

// Copies `rows` rows of `bytes` bytes; the pitches are the distances between row starts.
inline void copy_rows(char* to, int64_t pitch_to, const char* from, int64_t pitch_from, int64_t rows, int64_t bytes,
                      int threads) {
  backend::parallel_for(rows * bytes >= 65536 ? threads : 1, rows, [&](int64_t r) {
    std::memcpy(to + r * pitch_to, from + r * pitch_from, static_cast<size_t>(bytes));
  });
}

}  // namespace ringmaster::ops
