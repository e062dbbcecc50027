// SPDX-License-Identifier: Apache-2.0
// tiny_bpe: a made-up vocabulary in the two files of GPT-2's tokenizer: 256 bytes, the given merges, <|endoftext|>.
#pragma once
#include "tests/data/files.h"

#include <string>
#include <utility>
#include <vector>

namespace ringmaster::data {

inline std::string utf8_of(int code_point) {  // below U+0800
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))};
}

// How the files write a byte.
inline std::string written_byte(int byte) {
  const auto plain = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  if (plain(byte)) return utf8_of(byte);
  int place = 256;
  for (int b = 0; b < byte; ++b) place += plain(b) ? 0 : 1;
  return utf8_of(place);
}

inline std::string written(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) text += written_byte(static_cast<unsigned char>(c));
  return text;
}

struct TinyBpe {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  Pairs merges = {{"t", "h"}, {"th", "e"},  {" ", "the"}, {"a", "a"},       {"aa", "aa"}, {"l", "l"}, {"'", "ll"},
                  {"o", "n"}, {"\n", "\n"}, {" ", " "},   {"\xc3", "\xa9"}, {"h", "e"},   {"1", "2"}, {" ", "a"}};
  std::vector<std::string> tokens = {};  // written as the file writes them, by id

  TinyBpe() { number(); }
  explicit TinyBpe(Pairs of) : merges(std::move(of)) { number(); }

  void number() {
    tokens.clear();
    for (int byte = 255; byte >= 0; --byte) tokens.push_back(written_byte(byte));  // ids are not the bytes
    for (const auto& [left, right] : merges) tokens.push_back(written(left + right));
    tokens.emplace_back("<|endoftext|>");
  }

  std::string encoder() const {
    std::string json = "{";
    for (size_t id = 0; id < tokens.size(); ++id) {
      std::string text;
      for (const char c : tokens[id]) text += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
      json += fmt::format("{}\"{}\": {}", id == 0 ? "" : ", ", text, id);
    }
    return json + "}";
  }
  std::string vocab() const {
    std::string text = "#version: 0.2\n";
    for (const auto& [left, right] : merges) text += written(left) + " " + written(right) + "\n";
    return text;
  }
  // The folder with both files in it.
  std::string write(const TempFolder& folder, const std::string& name = "bpe") const {
    folder.write(name + "/encoder.json", encoder());
    folder.write(name + "/vocab.bpe", vocab());
    return folder.path(name);
  }
};

}  // namespace ringmaster::data
