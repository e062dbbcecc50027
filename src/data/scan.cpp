// SPDX-License-Identifier: Apache-2.0
// scan: the one full read of the data before a run: its hash, and that every token id has an embedding row.
#include "core/error.h"
#include "core/sha256.h"
#include "data/formats.h"
#include "data/source.h"

#include <algorithm>

namespace ringmaster::data {
namespace {

class Scan {
 public:
  explicit Scan(int64_t vocab_size) : vocab_size_(vocab_size) {}

  void add(const Source& source) {
    for (const DataFile& file : source.files()) add(file, source);
  }

  std::string hex() { return sha_.hex(); }

 private:
  static constexpr int64_t chunk_tokens = 1 << 18;

  // After a bad id the file is read to its end, for the cure to name the vocabulary that would do.
  void add(const DataFile& file, const Source& source) {
    const Format& format = source.format();
    const int64_t tokens = source.tokens_of(file);
    const auto byte_of = [&](int64_t token) { return format.header_bytes + token * format.token_bytes; };
    int64_t bad = -1;  // token index of the first id out of range
    int32_t bad_id = 0;
    int32_t largest = 0;
    for (int64_t first = 0; first < tokens; first += chunk_tokens) {
      const int64_t count = std::min(chunk_tokens, tokens - first);
      const int64_t bytes = count * format.token_bytes;
      bytes_.resize(static_cast<size_t>(bytes));
      ids_.resize(static_cast<size_t>(count));
      file.read(byte_of(first), bytes, bytes_.data());
      sha_.update(bytes_.data(), bytes_.size());
      format.decode(bytes_.data(), count, ids_.data());
      const int32_t here = *std::max_element(ids_.begin(), ids_.end());
      if (here >= vocab_size_ && bad < 0) {
        const auto at = std::find_if(ids_.begin(), ids_.end(), [&](int32_t id) { return id >= vocab_size_; });
        bad = first + (at - ids_.begin());
        bad_id = *at;
      }
      largest = std::max(largest, here);
    }
    if (bad < 0) return;
    // the commonest mistake has a name
    const bool llmc = &format != &llmc_format && llmc_format.recognise(file);
    throw Error({.kind = ErrorKind::data,
                 .message = fmt::format("token id {} at byte {} of {} `{}` ({}) does not fit model.vocab_size {}",
                                        bad_id, byte_of(bad), source.key(), file.path(), format.name, vocab_size_),
                 .file = file.path(),
                 .key = source.key(),
                 .found = fmt::format("token id {} at byte {}", bad_id, byte_of(bad)),
                 .expected = fmt::format("ids below {}", vocab_size_),
                 .cure = llmc
                             ? "it is a token file of llm.c: set data.format to llmc"
                             : fmt::format("set model.vocab_size to at least {}, or correct data.format if that is odd",
                                           largest + 1)});
  }

  int64_t vocab_size_;
  Sha256 sha_;
  std::vector<uint8_t> bytes_;
  std::vector<int32_t> ids_;
};

}  // namespace

std::string scan(const Dataset& dataset, int64_t vocab_size) {
  Scan scan(vocab_size);
  scan.add(*dataset.train.source);
  if (dataset.validation.source != dataset.train.source) scan.add(*dataset.validation.source);
  return scan.hex();
}

std::string scan(const Split& split, int64_t vocab_size) {
  Scan scan(vocab_size);
  scan.add(*split.source);
  return scan.hex();
}

}  // namespace ringmaster::data
