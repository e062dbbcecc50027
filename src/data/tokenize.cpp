// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include "core/error.h"
#include "data/file.h"
#include "data/formats.h"
#include "data/llmc.h"
#include "data/pretokenize.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <span>
#include <string_view>
#include <thread>

namespace ringmaster::data {
namespace {

constexpr int64_t most_ids = 1 << 16;

struct Piece {
  std::string_view text;
  int64_t offset;  // in its file
  std::vector<int32_t> ids = {};
  std::exception_ptr error = {};
};

void encode_all(const Tokenizer& tokenizer, const std::string& file, std::vector<Piece>& pieces, int threads) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < pieces.size(); i = next++) {
      try {
        pieces[i].ids = tokenizer.encode_part(pieces[i].text, {.file = file, .offset = pieces[i].offset});
      } catch (...) { pieces[i].error = std::current_exception(); }
    }
  };
  std::vector<std::jthread> others;
  for (size_t i = 1; i < std::min(static_cast<size_t>(threads), pieces.size()); ++i) others.emplace_back(work);
  work();
  others.clear();
  for (const Piece& piece : pieces) {
    if (piece.error) std::rethrow_exception(piece.error);  // the first of the file, whoever met it
  }
}

class Run {
 public:
  Run(const Tokenizer& tokenizer, const TokenizeOptions& options) : tokenizer_(tokenizer), options_(options) {
    check();
    for (std::string& path : expand(options.in, options.key)) files_.emplace_back(std::move(path), options.key);
    for (const DataFile& file : files_) {
      total_ += file.bytes();
      refuse_overwriting(file);
      refuse_token_file(file);
    }
    done_.files = static_cast<int64_t>(files_.size());
  }

  Tokenized write() {
    write_file_atomic(options_.out, [&](File& out) {
      if (llmc()) out.write_all(llmc_header(0).data(), llmc_header_bytes);
      for (const DataFile& file : files_) add(file, out);
      if (llmc()) {
        const auto header = llmc_header(done_.tokens);
        out.pwrite_all(std::as_bytes(std::span(header)), 0);
      }
    });
    return done_;
  }

 private:
  bool llmc() const { return options_.format == "llmc"; }

  void check() const {
    if (!llmc() && options_.format != "uint16") {
      throw Error({.kind = ErrorKind::usage,
                   .message = fmt::format("`{}` is not a format of token files", options_.format),
                   .key = "--format",
                   .found = options_.format,
                   .expected = "llmc or uint16"});
    }
    if (tokenizer_.vocab_size() > most_ids) {
      throw Error({.kind = ErrorKind::data,
                   .message = fmt::format("a vocabulary of {} tokens has ids that 16 bits do not hold",
                                          tokenizer_.vocab_size()),
                   .key = "--tokenizer",
                   .found = fmt::format("{} tokens", tokenizer_.vocab_size()),
                   .expected = fmt::format("at most {} tokens", most_ids),
                   .cure = "use a smaller vocabulary"});
    }
    CHECK(options_.threads >= 1 && options_.piece_bytes >= 1, "{} threads, {} bytes", options_.threads,
          options_.piece_bytes);
  }

  void refuse_overwriting(const DataFile& file) const {
    std::error_code ignored;
    if (!std::filesystem::equivalent(file.path(), options_.out, ignored)) return;
    throw Error({.kind = ErrorKind::usage,
                 .message = "the output is one of the inputs",
                 .file = options_.out.string(),
                 .key = "--out",
                 .found = file.path(),
                 .expected = "a file that is not read",
                 .cure = "name another file; a glob of inputs may take in an older output"});
  }

  void refuse_token_file(const DataFile& file) const {
    if (!llmc_format.recognise(file)) return;
    throw Error({.kind = ErrorKind::data,
                 .message = "is a token file of llm.c already",
                 .file = file.path(),
                 .key = options_.key,
                 .found = "token ids",
                 .expected = "text",
                 .cure = "train on it as it is: set data.path to it"});
  }

  // What follows the last sure cut of a block begins the next one.
  void add(const DataFile& file, File& out) {
    const int64_t block = options_.piece_bytes * options_.threads;
    std::string text;
    int64_t start = 0;  // of `text` in the file
    for (int64_t read = 0; read < file.bytes();) {
      // twice as much where no cut was found, so that a text without blanks is not searched again and again
      const int64_t more = std::min(std::max<int64_t>(block, static_cast<int64_t>(text.size())), file.bytes() - read);
      const size_t before = text.size();
      text.resize(before + static_cast<size_t>(more));
      file.read(read, more, text.data() + before);
      read += more;
      const size_t end = read == file.bytes() ? text.size() : last_safe_cut(text, before);
      if (end == std::string_view::npos) continue;
      encode(std::string_view(text).substr(0, end), start, file, out);
      text.erase(0, end);
      start += static_cast<int64_t>(end);
    }
  }

  void encode(std::string_view text, int64_t start, const DataFile& file, File& out) {
    std::vector<Piece> pieces;
    while (!text.empty()) {
      size_t end = std::string_view::npos;
      for (auto window = static_cast<size_t>(options_.piece_bytes);
           end == std::string_view::npos && window < text.size(); window *= 2) {
        end = last_safe_cut(text.substr(0, window), 1);
      }
      end = std::min(end, text.size());
      pieces.push_back({.text = text.substr(0, end), .offset = start});
      start += static_cast<int64_t>(end);
      text.remove_prefix(end);
    }
    encode_all(tokenizer_, file.path(), pieces, options_.threads);
    for (const Piece& piece : pieces) append(piece, out);
  }

  void append(const Piece& piece, File& out) {
    done_.tokens += static_cast<int64_t>(piece.ids.size());
    done_.bytes += static_cast<int64_t>(piece.text.size());
    if (llmc() && done_.tokens > llmc_most_tokens) {
      throw Error({.kind = ErrorKind::data,
                   .message = "an llmc file can not count so many tokens",
                   .file = options_.out.string(),
                   .key = "--format",
                   .found = fmt::format("more than {} tokens", llmc_most_tokens),
                   .expected = fmt::format("at most {} tokens", llmc_most_tokens),
                   .cure = "use --format uint16, or several outputs"});
    }
    std::vector<uint8_t> bytes;
    bytes.reserve(2 * piece.ids.size());
    for (const int32_t id : piece.ids) {
      bytes.push_back(static_cast<uint8_t>(id));
      bytes.push_back(static_cast<uint8_t>(id >> 8));
    }
    out.write_all(bytes.data(), bytes.size());
    if (options_.progress) options_.progress(done_.bytes, total_);
  }

  const Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  std::vector<DataFile> files_;
  int64_t total_ = 0;
  Tokenized done_;
};

}  // namespace

Tokenized tokenize(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  return Run(tokenizer, options).write();
}

}  // namespace ringmaster::data
