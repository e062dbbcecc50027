// SPDX-License-Identifier: Apache-2.0
// tokenizer: text to token ids and back. `byte`: a token is a byte, so any file and any text round-trips. `gpt2`: bpe.h, UTF-8.
// `ids`: the ids themselves, in decimal.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::data {

// Where a text was taken from, for errors to say.
struct TextPlace {
  std::string file = {};
  int64_t offset = 0;  // of the text's first byte
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  virtual std::vector<int32_t> encode_part(std::string_view text, const TextPlace& place) const = 0;
  std::vector<int32_t> encode(std::string_view text) const { return encode_part(text, {}); }
  // Bytes, which need not be valid UTF-8. Throws Error (data) at an id that is not below vocab_size().
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
};

struct TokenizerOptions {
  std::string name = "byte";               // data.tokenizer, or ids
  std::string folder = {};                 // data.tokenizer_dir, which gpt2 needs
  std::string key = "data.tokenizer_dir";  // key or flag that errors about the folder name
};

// Throws Error: of kind config for an unknown name or a folder that is not given, of kind data for files that are wrong.
std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerOptions& options);

}  // namespace ringmaster::data
