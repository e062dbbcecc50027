// SPDX-License-Identifier: Apache-2.0
// formats: how the bytes of a data file become token ids. A format is one file and one line of all_formats.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ringmaster::data {

class DataFile;  // file.h

struct Format {
  std::string_view name;                         // value of data.format
  std::span<const std::string_view> extensions;  // lower case, with the dot: what `auto` goes by
  int64_t token_bytes;                           // bytes of one token in the file
  void (*decode)(const uint8_t* bytes, int64_t count, int32_t* ids);
  int64_t header_bytes = 0;  // before the first token
  // Throws Error (data) where header and file contradict each other; nullptr: there is no header.
  void (*check)(const DataFile& file, const std::string& key) = nullptr;
  bool (*recognise)(const DataFile& file) = nullptr;  // by its first bytes
};

extern const Format text_format;    // text.cpp
extern const Format llmc_format;    // llmc.cpp
extern const Format uint16_format;  // uint16.cpp

inline constexpr std::array<const Format*, 3> all_formats = {&text_format, &llmc_format, &uint16_format};

}  // namespace ringmaster::data
