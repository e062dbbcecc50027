// SPDX-License-Identifier: Apache-2.0
// samples: helpers for the lists of cases that ops give to the conformance suite.
#pragma once
#include <utility>
#include <vector>

#include "ir/op.h"

namespace ringmaster::ops {

inline ir::Type f32(const Shape& shape) { return {DType::f32, shape}; }
inline ir::Type i32(const Shape& shape) { return {DType::i32, shape}; }

// The same cases and each of 16 bits again with an f32 result, for ops that can leave it unrounded.
inline std::vector<ir::Sample> with_f32_out(std::vector<ir::Sample> samples) {
  const size_t count = samples.size();
  for (size_t i = 0; i < count; ++i) {
    if (samples[i].in[0].dtype == DType::f32 || samples[i].attrs.find("row_stable") != nullptr) continue;
    ir::Sample copy = samples[i];
    copy.attrs.set("f32_out", true);
    samples.push_back(std::move(copy));
  }
  return samples;
}

// The same cases again with every f32 input as bf16 and as f16, after the f32 ones. Shipped shapes stay f32.
inline std::vector<ir::Sample> with_16_bit(std::vector<ir::Sample> samples) {
  const size_t count = samples.size();
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (size_t i = 0; i < count; ++i) {
      if (samples[i].shipped) continue;
      ir::Sample copy = samples[i];
      for (ir::Type& type : copy.in)
        if (type.dtype == DType::f32) type.dtype = dtype;
      samples.push_back(std::move(copy));
    }
  }
  return samples;
}

}  // namespace ringmaster::ops
