// SPDX-License-Identifier: Apache-2.0
#include "data/bpe.h"

#include "core/error.h"
#include "data/pretokenize.h"

#include <queue>
#include <utility>

namespace ringmaster::data {
namespace {

constexpr size_t none = static_cast<size_t>(-1);

struct Symbol {
  int32_t id;  // -1: merged into the symbol before it
  size_t previous, next;
};

struct Candidate {
  Vocabulary::Merge merge;
  size_t at;  // the left symbol
  int32_t left, right;
};
struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::pair(a.merge.rank, a.at) > std::pair(b.merge.rank, b.at);
  }
};

// The merges of one word, in n log n: a word may be as long as a file. Candidates whose symbols have changed are passed over.
class Word {
 public:
  explicit Word(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  void append_ids(std::string_view word, std::vector<int32_t>& ids) {
    symbols_.clear();
    for (size_t i = 0; i < word.size(); ++i) {
      symbols_.push_back({.id = vocabulary_.byte_ids[static_cast<uint8_t>(word[i])],
                          .previous = i == 0 ? none : i - 1,
                          .next = i + 1 == word.size() ? none : i + 1});
    }
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) consider(i);
    while (!candidates_.empty()) {
      const Candidate best = candidates_.top();
      candidates_.pop();
      merge(best);
    }
    for (size_t i = 0; i != none; i = symbols_[i].next) ids.push_back(symbols_[i].id);
  }

 private:
  void consider(size_t at) {
    if (at == none || symbols_[at].next == none) return;
    const int32_t left = symbols_[at].id, right = symbols_[symbols_[at].next].id;
    const auto found = vocabulary_.merges.find(Vocabulary::pair(left, right));
    if (found != vocabulary_.merges.end()) {
      candidates_.push({.merge = found->second, .at = at, .left = left, .right = right});
    }
  }

  void merge(const Candidate& c) {
    Symbol& left = symbols_[c.at];
    if (left.id != c.left || left.next == none || symbols_[left.next].id != c.right) return;
    Symbol& right = symbols_[left.next];
    left.id = c.merge.id;
    right.id = -1;
    left.next = right.next;
    if (left.next != none) symbols_[left.next].previous = c.at;
    consider(left.previous);
    consider(c.at);
  }

  const Vocabulary& vocabulary_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> candidates_;
};

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.tokens.size()); }

  std::vector<int32_t> encode_part(std::string_view text, const TextPlace& place) const override {
    check_utf8(text, place);
    std::vector<int32_t> ids;
    // Text repeats its words: their ids are copied from where they were first written.
    std::unordered_map<std::string_view, std::pair<size_t, size_t>> seen;
    Word merger(vocabulary_);
    while (!text.empty()) {
      const std::string_view word = text.substr(0, first_word(text));
      text.remove_prefix(word.size());
      const auto [entry, is_new] = seen.try_emplace(word, ids.size(), 0);
      auto& [first, count] = entry->second;
      if (is_new) {
        merger.append_ids(word, ids);
        count = ids.size() - first;
      } else {
        for (size_t i = first; i < first + count; ++i) ids.push_back(ids[i]);
      }
    }
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) {
        throw Error(
            {.kind = ErrorKind::data,
             .message = fmt::format("token id {} is not in the vocabulary of {} tokens, so the gpt2 tokenizer "
                                    "cannot show it",
                                    id, vocab_size()),
             .key = "data.tokenizer",
             .found = fmt::format("token id {}", id),
             .expected = fmt::format("ids 0 to {}", vocab_size() - 1),
             .cure = fmt::format("use the tokenizer that made the data, and model.vocab_size {}", vocab_size())});
      }
      text += vocabulary_.tokens[static_cast<size_t>(id)];
    }
    return text;
  }

 private:
  static void check_utf8(std::string_view text, const TextPlace& place) {
    const size_t bad = first_invalid_utf8(text);
    if (bad == std::string_view::npos) return;
    const int64_t offset = place.offset + static_cast<int64_t>(bad);
    const auto byte = static_cast<uint8_t>(text[bad]);
    throw Error({.kind = ErrorKind::data,
                 .message = fmt::format("the text is not UTF-8: byte {:#04x} at offset {}", byte, offset),
                 .file = place.file,
                 .found = fmt::format("byte {:#04x} at offset {}", byte, offset),
                 .expected = "UTF-8 text",
                 .cure = "convert it, for example with `iconv -f LATIN1 -t UTF-8`, or take data.tokenizer byte"});
  }

  Vocabulary vocabulary_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe(Vocabulary vocabulary) {
  return std::make_unique<BpeTokenizer>(std::move(vocabulary));
}

}  // namespace ringmaster::data
