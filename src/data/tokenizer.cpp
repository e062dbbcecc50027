// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include "core/error.h"
#include "data/bpe.h"

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
        throw Error({.kind = ErrorKind::data,
                     .message = fmt::format("token id {} is not a byte, so the byte tokenizer cannot show it", id),
                     .key = "data.tokenizer",
                     .found = fmt::format("token id {}", id),
                     .expected = "ids 0 to 255",
                     .cure = "use the tokenizer that made the data; bytes need model.vocab_size 256"});
      }
      text += static_cast<char>(id);
    }
    return text;
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerOptions& options) {
  if (options.name == "byte") return std::make_unique<ByteTokenizer>();
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
