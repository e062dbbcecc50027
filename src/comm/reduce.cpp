// SPDX-License-Identifier: Apache-2.0
// Plain loops: __restrict lets the compiler vectorise them, and they run at memory speed.
#include "comm/reduce.h"

#include <type_traits>

namespace ringmaster::comm {

namespace {

template <typename T> void add(T* __restrict mine, const T* __restrict theirs, int64_t count) {
  using Wrapping =
      typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  for (int64_t i = 0; i < count; ++i) {
    mine[i] = static_cast<T>(static_cast<Wrapping>(theirs[i]) + static_cast<Wrapping>(mine[i]));
  }
}

template <typename T> void maximum(T* __restrict mine, const T* __restrict theirs, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const T a = theirs[i], b = mine[i];
    mine[i] = a >= b || a != a ? a : b;  // a != a: a NaN wins
  }
}

template <typename T> void reduce_typed(Bytes mine, ConstBytes theirs, Reduce reduce) {
  auto* into = reinterpret_cast<T*>(mine.data());
  const auto* from = reinterpret_cast<const T*>(theirs.data());
  const auto count = static_cast<int64_t>(mine.size() / sizeof(T));
  reduce == Reduce::sum ? add(into, from, count) : maximum(into, from, count);
}

}  // namespace

bool reducible(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::i32 || dtype == DType::i64;
}

void reduce_into(Bytes mine, ConstBytes theirs, DType dtype, Reduce reduce) {
  CHECK(mine.size() == theirs.size(), "{} and {} bytes", mine.size(), theirs.size());
  switch (dtype) {
    case DType::f32: return reduce_typed<float>(mine, theirs, reduce);
    case DType::f64: return reduce_typed<double>(mine, theirs, reduce);
    case DType::i32: return reduce_typed<int32_t>(mine, theirs, reduce);
    case DType::i64: return reduce_typed<int64_t>(mine, theirs, reduce);
    default: CHECK(false, "{} can not be reduced", name(dtype));
  }
}

}  // namespace ringmaster::comm
