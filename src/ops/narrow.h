// SPDX-License-Identifier: Apache-2.0
// narrow: an op gives its output 0 once more in 16 bits (Traits::narrow_copy), written while it is hot: the shadow of a new weight
// (ir/graph.h), a gradient that the next product reads.
#pragma once
#include <optional>

#include "backend/cpu/past_caches.h"
#include "core/error.h"
#include "core/with_float.h"
#include "ir/op.h"

namespace ringmaster::ops {

inline const ir::AttrSpec narrow_attr{"narrow", std::string(), false, "'' | bf16 | f16: output 0 once more, the last"};
// Nothing where the attribute is empty; throws Error (config) where it names no dtype.
inline std::optional<DType> narrow_of(const ir::Attrs& attrs, const char* attribute = "narrow") {
  const std::string& text = attrs.text(attribute);
  const auto dtype = dtype_from_name(text);
  if (!dtype && !text.empty())
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} is \"{}\"", attribute, text),
                 .found = text,
                 .expected = "bf16, f16 or nothing"});
  return dtype;
}

// The type of it; throws Error (config) unless x is f32 and the dtype is bf16 or f16.
inline ir::Type narrowed(const ir::Type& x, DType dtype) {
  if (x.dtype != DType::f32 || !is_16_bit_float(dtype))
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {}, a narrow output {}", str(x), name(dtype)),
                 .expected = "f32, and bf16 or f16"});
  return {dtype, x.shape};
}

enum class Route { caches, past_caches };
// Elements begin .. begin + count of output 0, which is f32; nothing without a dtype. Behind the last one past the caches its thread
// calls backend::fence_stores().
inline void copy_narrow(const ir::KernelArgs& a, std::optional<DType> dtype, int output, int64_t begin, int64_t count,
                        Route route = Route::caches) {
  if (!dtype) return;
  const float* from = a.output<float>(0) + begin;
  with_16_bit_float(*dtype, [&]<typename T>(T) {
    T* to = a.output<T>(output) + begin;
    if (route == Route::past_caches)
      backend::copy_lanes_past_caches(from, to, count);
    else
      backend::copy_lanes(from, to, count);
  });
}

}  // namespace ringmaster::ops
