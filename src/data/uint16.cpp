// SPDX-License-Identifier: Apache-2.0
// uint16: token ids as 16-bit little-endian words and nothing else, as nanoGPT's prepare.py writes them. No header.
#include "data/formats.h"

namespace ringmaster::data {
namespace {

constexpr std::array<std::string_view, 2> extensions = {".bin", ".u16"};

void decode(const uint8_t* bytes, int64_t count, int32_t* ids) {
  for (int64_t i = 0; i < count; ++i) ids[i] = bytes[2 * i] | bytes[2 * i + 1] << 8;
}

}  // namespace

constinit const Format uint16_format{.name = "uint16", .extensions = extensions, .token_bytes = 2, .decode = decode};

}  // namespace ringmaster::data
