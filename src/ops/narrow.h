// SPDX-License-Identifier: Apache-2.0
// narrow: an op gives its output 0 once more in 16 bits (Traits::narrow_copy), written while it is hot: the shadow of a new weight
// (ir/graph.h), a gradient that the next product reads.
#pragma once
#include <optional>

#include "backend/cpu/lanes.h"
#include "ir/op.h"

namespace ringmaster::ops {

inline const ir::AttrSpec narrow_attr{"narrow", std::string(), false, "'' | bf16 | f16: output 0 once more, the last"};
inline std::optional<DType> narrow_of(const ir::Attrs& attrs) { return dtype_from_name(attrs.text("narrow")); }

// Elements begin .. begin + count of output 0, which is f32; nothing without a dtype.
inline void copy_narrow(const ir::KernelArgs& a, std::optional<DType> dtype, int output, int64_t begin, int64_t count) {
  const auto copy = [&]<typename T>(T* to) { backend::copy_lanes(a.output<float>(0) + begin, to + begin, count); };
  if (dtype == DType::bf16) copy(a.output<bf16>(output));
  if (dtype == DType::f16) copy(a.output<f16>(output));
}

}  // namespace ringmaster::ops
