// SPDX-License-Identifier: Apache-2.0
#include "data/llmc.h"

#include "core/error.h"
#include "data/file.h"
#include "data/formats.h"

#include <utility>

namespace ringmaster::data {
namespace {

constexpr uint32_t magic = 20240520, version = 1;
constexpr std::array<std::string_view, 1> extensions = {".llmc"};

uint32_t word(const uint8_t* bytes) {
  return bytes[0] | static_cast<uint32_t>(bytes[1]) << 8 | static_cast<uint32_t>(bytes[2]) << 16 |
         static_cast<uint32_t>(bytes[3]) << 24;
}

uint32_t word_at(const DataFile& file, int64_t index) {
  uint8_t bytes[4];
  file.read(4 * index, 4, bytes);
  return word(bytes);
}

[[noreturn]] void refuse(const DataFile& file, const std::string& key, std::string found, std::string expected) {
  throw Error({.kind = ErrorKind::data,
               .message = fmt::format("{} `{}` is no sound llmc token file: {}, expected {}", key, file.path(), found,
                                      expected),
               .file = file.path(),
               .key = key,
               .found = std::move(found),
               .expected = std::move(expected),
               .cure = "write the file again, or set data.format if it is another format"});
}

bool recognise(const DataFile& file) { return file.bytes() >= 4 && word_at(file, 0) == magic; }

void check(const DataFile& file, const std::string& key) {
  if (file.bytes() < llmc_header_bytes) {
    refuse(file, key, fmt::format("{} bytes", file.bytes()),
           fmt::format("a header of {} bytes and tokens", llmc_header_bytes));
  }
  if (!recognise(file)) {
    refuse(file, key, fmt::format("the number {} at byte 0", word_at(file, 0)), fmt::format("{}", magic));
  }
  if (const uint32_t found = word_at(file, 1); found != version) {
    refuse(file, key, fmt::format("version {}", found), fmt::format("version {}", version));
  }
  const int64_t tokens = word_at(file, 2);
  if (tokens == 0 || tokens > llmc_most_tokens) {
    refuse(file, key, fmt::format("a count of {} tokens", tokens), fmt::format("1 to {}", llmc_most_tokens));
  }
  if (file.bytes() != llmc_header_bytes + 2 * tokens) {
    refuse(file, key, fmt::format("{} bytes", file.bytes()),
           fmt::format("{} for its {} tokens", llmc_header_bytes + 2 * tokens, tokens));
  }
}

void decode(const uint8_t* bytes, int64_t count, int32_t* ids) { uint16_format.decode(bytes, count, ids); }

}  // namespace

std::array<uint8_t, llmc_header_bytes> llmc_header(int64_t tokens) {
  CHECK(tokens >= 0 && tokens <= llmc_most_tokens, "{} tokens", tokens);
  std::array<uint8_t, llmc_header_bytes> header{};
  size_t at = 0;
  for (const uint32_t value : {magic, version, static_cast<uint32_t>(tokens)}) {
    for (int shift = 0; shift < 32; shift += 8) header[at++] = static_cast<uint8_t>(value >> shift);
  }
  return header;
}

constinit const Format llmc_format{.name = "llmc",
                                   .extensions = extensions,
                                   .token_bytes = 2,
                                   .decode = decode,
                                   .header_bytes = llmc_header_bytes,
                                   .check = check,
                                   .recognise = recognise};

}  // namespace ringmaster::data
