// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include "core/error.h"
#include "data/bpe.h"

#include <charconv>
#include <limits>

namespace ringmaster::data {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  int64_t vocab_size() const override { return 256; }

  std::vector<int32_t> encode_part(std::string_view text, const TextPlace&) const override {
    std::vector<int32_t> ids;
    ids.reserve(text.size());
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    text.reserve(ids.size());
    for (const int32_t id : ids) {
      if (id < 0 || id > 255) {
        throw Error(
            {.kind = ErrorKind::data,
             .message = fmt::format("token id {} is not a byte, so the byte tokenizer cannot show it", id),
             .key = "data.tokenizer",
             .found = fmt::format("token id {}", id),
             .expected = "ids 0 to 255",
             .cure =
                 "use the tokenizer that made the data, or sample with --format ids; bytes need model.vocab_size 256"});
      }
      text += static_cast<char>(id);
    }
    return text;
  }
};

// Ids in decimal with blanks between them, for tokens whose text nobody here knows. A text that goes on begins with a blank.
class IdTokenizer final : public Tokenizer {
 public:
  int64_t vocab_size() const override { return std::numeric_limits<int32_t>::max(); }

  std::vector<int32_t> encode_part(std::string_view text, const TextPlace&) const override {
    std::vector<int32_t> ids;
    constexpr std::string_view blanks = " \t\n";
    for (size_t begin = text.find_first_not_of(blanks); begin != std::string_view::npos;) {
      const std::string_view word = text.substr(begin, text.find_first_of(blanks, begin) - begin);
      int32_t& id = ids.emplace_back();
      const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), id);
      if (problem != std::errc() || end != word.data() + word.size() || id < 0) refuse(fmt::format("`{}`", word));
      begin = text.find_first_not_of(blanks, begin + word.size());
    }
    if (ids.empty()) refuse("no id");
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += fmt::format(" {}", id);
    return text;
  }

 private:
  [[noreturn]] static void refuse(const std::string& found) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("a prompt of token ids has {}", found),
                 .key = "--prompt",
                 .found = found,
                 .expected = "token ids with blanks between them",
                 .cure = "for example --prompt '464 3290'"});
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerOptions& options) {
  if (options.name == "byte") return std::make_unique<ByteTokenizer>();
  if (options.name == "ids") return std::make_unique<IdTokenizer>();
  if (options.name != "gpt2") {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("unknown data.tokenizer `{}`", options.name),
                 .key = "data.tokenizer",
                 .found = options.name,
                 .expected = "byte or gpt2",
                 .cure = "set data.tokenizer to byte or gpt2"});
  }
  if (options.folder.empty()) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("the gpt2 tokenizer needs {}, which is not given", options.key),
                 .key = options.key,
                 .found = "no folder",
                 .expected = "the folder of encoder.json and vocab.bpe",
                 .cure = fmt::format("set {} to that folder", options.key)});
  }
  return make_bpe(read_vocabulary(options.folder, options.key));
}

}  // namespace ringmaster::data
