// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/dnnl.h"

#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/lanes.h"

#include <string>

namespace ringmaster::backend {

std::string_view dnnl_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = ::dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
  }();
  return text;
}

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

void widen(const void* from, DType dtype, float* to, int64_t n) {
  const auto run = [&]<typename T>(const T* p) {
    for_lanes(n, [&](int64_t i, int64_t count) { store(to + i, load(p + i, count), count); });
  };
  if (dtype == DType::bf16) run(static_cast<const bf16*>(from));
  if (dtype == DType::f16) run(static_cast<const f16*>(from));
}
void narrow(const float* from, DType dtype, void* to, int64_t n) {
  const auto run = [&]<typename T>(T* p) {
    for_lanes(n, [&](int64_t i, int64_t count) { store(p + i, load(from + i, count), count); });
  };
  if (dtype == DType::bf16) run(static_cast<bf16*>(to));
  if (dtype == DType::f16) run(static_cast<f16*>(to));
}

}  // namespace ringmaster::backend
