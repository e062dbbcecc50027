// SPDX-License-Identifier: Apache-2.0
// text: any bytes, one token a byte (the byte tokenizer's ids). Nothing is skipped or normalised, so a BOM or CRLF is
// data.
#include "data/formats.h"

namespace ringmaster::data {
namespace {

constexpr std::array<std::string_view, 4> extensions = {".txt", ".text", ".md", ".csv"};

void decode(const uint8_t* bytes, int64_t count, int32_t* ids) {
  for (int64_t i = 0; i < count; ++i) ids[i] = bytes[i];
}

}  // namespace

constinit const Format text_format{.name = "text", .extensions = extensions, .token_bytes = 1, .decode = decode};

}  // namespace ringmaster::data
