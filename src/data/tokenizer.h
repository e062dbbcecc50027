// SPDX-License-Identifier: Apache-2.0
// tokenizer: text to token ids and back. `byte`: a token is a byte, so any file and any text round-trips.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  // Bytes, which need not be valid UTF-8. Throws Error (data) at an id that is not below vocab_size().
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
};

// By the value of data.tokenizer; throws Error (config) naming the known ones.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

}  // namespace ringmaster::data
