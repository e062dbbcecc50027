// SPDX-License-Identifier: Apache-2.0
#include "core/isa.h"

#include "core/error.h"

#include <cpuid.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ringmaster {
namespace {

constexpr std::array<std::string_view, 4> names = {"avx2", "avx512", "avx512_bf16", "amx"};

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};
Leaf cpuid(unsigned leaf, unsigned sub) {
  Leaf out;
  if (__get_cpuid_count(leaf, sub, &out.a, &out.b, &out.c, &out.d) == 0) return {};
  return out;
}
bool bit(unsigned word, int index) { return ((word >> index) & 1U) != 0; }

// Which register files the system saves (XCR0), without which an instruction set is of no use.
uint64_t saved_registers() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;  // OSXSAVE
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

}  // namespace

std::string_view name(Isa isa) { return isa == Isa::below_avx2 ? "" : names[static_cast<size_t>(isa) - 1]; }

std::optional<Isa> isa_from_name(std::string_view name) {
  const auto* found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Isa>(found - names.begin() + 1);
}

std::span<const std::string_view> isa_names() { return names; }

// Bits: Intel SDM volume 2A, CPUID leaves 1 and 7.
Isa supported_isa() {
  const Leaf one = cpuid(1, 0), seven = cpuid(7, 0), seven_one = cpuid(7, 1);
  const uint64_t saved = saved_registers();
  const bool avx2 = (saved & 0x6U) == 0x6U && bit(one.c, 12) && bit(seven.b, 5);  // FMA, AVX2
  const bool avx512 = avx2 && (saved & 0xE0U) == 0xE0U && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) &&
                      bit(seven.b, 31);  // F, DQ, BW, VL
  const bool bf16 = avx512 && bit(seven_one.a, 5);
  const bool amx = bf16 && (saved & 0x60000U) == 0x60000U && bit(seven.d, 24) && bit(seven.d, 22);  // TILE, BF16
  return amx ? Isa::amx : bf16 ? Isa::avx512_bf16 : avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::below_avx2;
}

std::optional<Isa> isa_cap() {
  constexpr const char* variable = "RINGMASTER_MAX_CPU_ISA";
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  if (const auto cap = isa_from_name(text)) return cap;
  const std::string hint = nearest(std::string(text), names);
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("{} is `{}`", variable, text),
               .key = variable,
               .found = text,
               .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
               .cure = hint.empty() ? fmt::format("unset {}", variable) : fmt::format("did you mean `{}`?", hint)});
}

Isa usable_isa() {
  static const Isa isa = std::min(supported_isa(), isa_cap().value_or(Isa::amx));
  return isa;
}

}  // namespace ringmaster
