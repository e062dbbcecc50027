// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/dnnl.h"

#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/lanes.h"
#include "core/isa.h"
#include "core/with_float.h"

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

namespace ringmaster::backend {

std::string_view dnnl_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = ::dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
  }();
  return text;
}

namespace {

// oneDNN reads the cap once, with the first primitive. A cap of its own in the environment stands.
dnnl::engine capped_engine() {
  const bool theirs_stands = std::getenv("ONEDNN_MAX_CPU_ISA") != nullptr || std::getenv("DNNL_MAX_CPU_ISA") != nullptr;
  if (const auto cap = isa_cap(); cap && *cap < Isa::amx && !theirs_stands) {
    const std::array<dnnl::cpu_isa, 4> theirs = {dnnl::cpu_isa::avx2, dnnl::cpu_isa::avx2, dnnl::cpu_isa::avx512_core,
                                                 dnnl::cpu_isa::avx512_core_bf16};
    dnnl::set_max_cpu_isa(theirs[static_cast<size_t>(*cap)]);
  }
  return {dnnl::engine::kind::cpu, 0};
}

}  // namespace

const dnnl::engine& cpu() {
  static const dnnl::engine engine = capped_engine();
  return engine;
}

std::optional<Prepared> prepare(const Product& product, int slots) {
  const auto& [dtype, a, b, c, bias, accumulate] = product;
  dnnl::primitive_attr attr = user_scratchpad();
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attr.set_post_ops(sum);
  }
  std::vector<Arg> args{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
  if (bias) args.push_back({DNNL_ARG_BIAS, *bias});
  try {
#if DNNL_VERSION_MAJOR >= 3
    const auto pd = bias ? dnnl::matmul::primitive_desc(cpu(), a, b, *bias, c, attr)
                         : dnnl::matmul::primitive_desc(cpu(), a, b, c, attr);
#else
    const auto pd = dnnl::matmul::primitive_desc(
        bias ? dnnl::matmul::desc(a, b, *bias, c) : dnnl::matmul::desc(a, b, c), attr, cpu());
#endif
    if (dtype != DType::f32 && std::string_view(pd.impl_info_str()).starts_with("ref")) return std::nullopt;
    return Prepared(pd, dnnl::matmul(pd), std::move(args), slots);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return std::nullopt;
    throw;
  }
}

void widen(const void* from, DType dtype, float* to, int64_t n) {
  with_16_bit_float(dtype, [&]<typename T>(T) { copy_lanes(static_cast<const T*>(from), to, n); });
}
void narrow(const float* from, DType dtype, void* to, int64_t n) {
  with_16_bit_float(dtype, [&]<typename T>(T) { copy_lanes(from, static_cast<T*>(to), n); });
}

}  // namespace ringmaster::backend
