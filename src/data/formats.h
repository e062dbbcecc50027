// SPDX-License-Identifier: Apache-2.0
// formats: how the bytes of a data file become token ids. A format is one file and one line of all_formats.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace ringmaster::data {

struct Format {
  std::string_view name;                         // value of data.format
  std::span<const std::string_view> extensions;  // lower case, with the dot: what `auto` goes by
  int64_t token_bytes;                           // bytes of one token in the file
  void (*decode)(const uint8_t* bytes, int64_t count, int32_t* ids);
};

extern const Format text_format;    // text.cpp
extern const Format uint16_format;  // uint16.cpp

inline constexpr std::array<const Format*, 2> all_formats = {&text_format, &uint16_format};

}  // namespace ringmaster::data
