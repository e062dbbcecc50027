// SPDX-License-Identifier: Apache-2.0
// isa: the instruction set that kernels may use: the widest that processor and system support, or what RINGMASTER_MAX_CPU_ISA
// allows of it (avx2 | avx512 | avx512_bf16 | amx), for oneDNN's kernels as for ours.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ringmaster {

enum class Isa : uint8_t { below_avx2, avx2, avx512, avx512_bf16, amx };  // each holds those before it

std::string_view name(Isa isa);  // "" below avx2
std::optional<Isa> isa_from_name(std::string_view name);
std::span<const std::string_view> isa_names();  // of avx2 and above

Isa supported_isa();           // by processor and system
std::optional<Isa> isa_cap();  // RINGMASTER_MAX_CPU_ISA. Throws Error (usage) where it names none
Isa usable_isa();              // the smaller of both
}  // namespace ringmaster
