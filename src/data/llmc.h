// SPDX-License-Identifier: Apache-2.0
// llmc: the header of llm.c's token files: 256 little-endian 32-bit integers, of which three are used (magic number, version,
// number of tokens) and 253 are 0. Tokens follow as 16-bit words.
#pragma once
#include <array>
#include <cstdint>

namespace ringmaster::data {

inline constexpr int64_t llmc_header_bytes = 1024;
inline constexpr int64_t llmc_most_tokens = INT32_MAX;

std::array<uint8_t, llmc_header_bytes> llmc_header(int64_t tokens);

}  // namespace ringmaster::data
