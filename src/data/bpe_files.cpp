// SPDX-License-Identifier: Apache-2.0
// bpe_files: the two files of GPT-2's tokenizer. Both write a token's bytes as printable characters: a byte that is printable in
// Latin-1 as itself, the other 68 as U+0100, U+0101, ... in byte order, so that a blank is written as U+0120.
#include "core/error.h"
#include "data/bpe.h"

#include <nlohmann/json.hpp>

#include <unicode/utf8.h>

#include <filesystem>
#include <optional>
#include <utility>

namespace ringmaster::data {
namespace {

using Ids = std::unordered_map<std::string, int32_t>;  // bytes of a token -> id

constexpr int64_t most_bytes = int64_t{64} << 20;
constexpr int64_t most_tokens = 1 << 24;  // as many as model.vocab_size may be
constexpr std::string_view end_of_text = "<|endoftext|>";

[[noreturn]] void refuse(const std::string& file, const std::string& key, std::string message, std::string found,
                         std::string expected, int line = 0) {
  throw Error({.kind = ErrorKind::data,
               .message = std::move(message),
               .file = file,
               .line = line,
               .key = key,
               .found = std::move(found),
               .expected = std::move(expected),
               .cure = "use encoder.json and vocab.bpe of one tokenizer, as they were published"});
}

// The byte that each code point stands for, -1 for none.
std::array<int, 324> byte_table() {
  std::array<int, 324> table{};
  table.fill(-1);
  size_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[printable ? static_cast<size_t>(byte) : next++] = byte;
  }
  return table;
}

// A token as the files write it to its bytes; nothing if it holds a character that stands for no byte.
std::optional<std::string> bytes_of(std::string_view written) {
  static const std::array<int, 324> table = byte_table();
  const auto* text = reinterpret_cast<const uint8_t*>(written.data());
  std::string bytes;
  for (size_t at = 0; at < written.size();) {
    UChar32 c = 0;
    U8_NEXT(text, at, written.size(), c);
    if (c < 0 || static_cast<size_t>(c) >= table.size() || table[static_cast<size_t>(c)] < 0) return std::nullopt;
    bytes += static_cast<char>(table[static_cast<size_t>(c)]);
  }
  return bytes;
}

std::string shown(std::string_view text) {  // a hostile file may have a line of megabytes
  return text.size() <= 60 ? fmt::format("`{}`", text) : fmt::format("{} bytes", text.size());
}

std::string find_file(const Path& folder, const std::string& key, std::initializer_list<const char*> names) {
  std::error_code ignored;
  for (const char* name : names) {
    if (std::filesystem::exists(folder / name, ignored)) return folder / name;
  }
  const bool is_folder = std::filesystem::is_directory(folder, ignored);
  throw Error({.kind = ErrorKind::data,
               .message = is_folder ? fmt::format("holds neither {}", fmt::join(names, " nor "))
                                    : std::string("is not a folder that can be read"),
               .file = folder.string(),
               .key = key,
               .found = is_folder ? "no such file in it" : "no folder",
               .expected = "a folder with encoder.json and vocab.bpe, or vocab.json and merges.txt",
               .cure = fmt::format("download the two files of GPT-2's tokenizer and set {} to their folder", key)});
}

// Takes {"token": id, ...} as it is parsed: repeated keys would be lost in a finished object.
class VocabularyReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  VocabularyReader(std::string file, std::string key) : file_(std::move(file)), setting_(std::move(key)) {}
  Ids take() { return std::move(ids_); }

  bool null() override { wrong("null"); }
  bool boolean(bool) override { wrong("true or false"); }
  bool number_integer(number_integer_t id) override { wrong(fmt::format("the number {}", id)); }
  bool number_unsigned(number_unsigned_t id) override {
    if (depth_ == 0 || id >= static_cast<uint64_t>(most_tokens)) wrong(fmt::format("the number {}", id));
    const auto bytes = bytes_of(token_);
    if (!bytes || bytes->empty()) {
      refuse(file_, setting_, fmt::format("the token {} is not written in GPT-2's characters for bytes", shown(token_)),
             shown(token_), "the characters U+0021 to U+0143 that stand for bytes");
    }
    if (!ids_.emplace(*bytes, static_cast<int32_t>(id)).second) {
      refuse(file_, setting_, fmt::format("the token {} has two entries", shown(token_)), shown(token_),
             "each token once");
    }
    return true;
  }
  bool number_float(number_float_t, const string_t& text) override { wrong(fmt::format("the number {}", shown(text))); }
  bool string(string_t& text) override { wrong(fmt::format("the text {}", shown(text))); }
  bool binary(binary_t&) override { wrong("binary"); }
  bool start_object(std::size_t) override {
    if (depth_++ > 0) wrong("an object");
    return true;
  }
  bool key(string_t& name) override {
    token_ = name;
    return true;
  }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { wrong("an array"); }
  bool end_array() override { return true; }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    refuse(file_, setting_, fmt::format("is not JSON: the error is at byte {}", at),
           fmt::format("no JSON at byte {}", at), "a JSON object of tokens and their ids");
  }

 private:
  [[noreturn]] void wrong(const std::string& found) {
    const std::string where = depth_ == 0 ? "in place of the object" : fmt::format("as the id of {}", shown(token_));
    refuse(file_, setting_, fmt::format("has {} {}", found, where), found,
           fmt::format("an object of tokens and their ids, integers in 0..{}", most_tokens - 1));
  }

  std::string file_, setting_, token_;
  int depth_ = 0;
  Ids ids_;
};

Ids read_ids(const std::string& file, const std::string& key) {
  VocabularyReader reader(file, key);
  nlohmann::json::sax_parse(read_file(file, {.max_bytes = most_bytes, .kind = ErrorKind::data}), &reader);
  return reader.take();
}

void place_tokens(const Ids& ids, const std::string& file, const std::string& key, Vocabulary& vocabulary) {
  vocabulary.tokens.resize(ids.size());
  for (const auto& [bytes, id] : ids) {
    const bool fits = static_cast<size_t>(id) < ids.size();
    if (fits && vocabulary.tokens[static_cast<size_t>(id)].empty()) {
      vocabulary.tokens[static_cast<size_t>(id)] = bytes;
      continue;
    }
    // which of several wrong ids is met first is chance: the message must not depend on it
    refuse(file, key, fmt::format("the ids of its {} tokens are not 0 to {}", ids.size(), ids.size() - 1),
           "an id that is repeated or left out", fmt::format("each of 0 to {} once", ids.size() - 1));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    if (found == ids.end()) {
      refuse(file, key, fmt::format("has no token for the byte {:#04x}", byte), "no such token",
             "a token for each of the 256 bytes");
    }
    vocabulary.byte_ids[static_cast<size_t>(byte)] = found->second;
  }
}

class MergeReader {
 public:
  MergeReader(const Ids& ids, const std::string& file, const std::string& key) : ids_(ids), file_(file), key_(key) {}

  void add(std::string_view line, int number, Vocabulary& vocabulary) const {
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos) {
      refuse(file_, key_, "a line is not two tokens with a blank between them", shown(line), "two tokens", number);
    }
    const auto left = bytes_of(line.substr(0, blank)), right = bytes_of(line.substr(blank + 1));
    const int32_t a = id_of(left, line.substr(0, blank), number), b = id_of(right, line.substr(blank + 1), number);
    const auto joined = ids_.find(*left + *right);
    if (joined == ids_.end() || joined->first == end_of_text) {
      refuse(file_, key_, fmt::format("the merge {} makes a token that the vocabulary does not have", shown(line)),
             shown(line), "merges to ordinary tokens of the vocabulary", number);
    }
    const auto rank = static_cast<int32_t>(vocabulary.merges.size());
    if (!vocabulary.merges.try_emplace(Vocabulary::pair(a, b), Vocabulary::Merge{rank, joined->second}).second) {
      refuse(file_, key_, fmt::format("the merge {} stands there twice", shown(line)), shown(line), "each pair once",
             number);
    }
  }

 private:
  int32_t id_of(const std::optional<std::string>& bytes, std::string_view written, int number) const {
    const auto found = bytes ? ids_.find(*bytes) : ids_.end();
    if (found == ids_.end()) {
      refuse(file_, key_, fmt::format("the merge names {}, which the vocabulary does not have", shown(written)),
             shown(written), "tokens of the vocabulary", number);
    }
    return found->second;
  }

  const Ids& ids_;
  const std::string& file_;
  const std::string& key_;
};

}  // namespace

Vocabulary read_vocabulary(const Path& folder, const std::string& key) {
  const std::string tokens_file = find_file(folder, key, {"encoder.json", "vocab.json"});
  const std::string merges_file = find_file(folder, key, {"vocab.bpe", "merges.txt"});
  Vocabulary vocabulary;
  const Ids ids = read_ids(tokens_file, key);
  place_tokens(ids, tokens_file, key, vocabulary);

  const std::string text = read_file(merges_file, {.max_bytes = most_bytes, .kind = ErrorKind::data});
  const MergeReader reader(ids, merges_file, key);
  int number = 0;
  for (std::string_view left = text; !left.empty();) {
    const std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    if (++number == 1 && line.starts_with("#version")) continue;
    reader.add(line, number, vocabulary);
  }
  return vocabulary;
}

}  // namespace ringmaster::data
