// SPDX-License-Identifier: Apache-2.0
#include "data/source.h"

#include "core/error.h"
#include "core/program.h"
#include "data/formats.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <utility>

namespace ringmaster::data {
namespace {

struct Detected {
  const Format* format;
  std::string why;  // "" if it was asked for
};

const Format* find_format(std::string_view name) {
  for (const Format* format : all_formats) {
    if (format->name == name) return format;
  }
  return nullptr;
}

std::string known_formats() {
  std::string names = "auto";
  for (const Format* format : all_formats) names += fmt::format(", {}", format->name);
  return names;
}

// The last dot of the last path component and what follows, in lower case; "" if there is none.
std::string extension_of(const std::string& path) {
  const size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos || dot <= name) return "";
  std::string extension = path.substr(dot);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

// A magic number comes first: no text begins with one. Then extensions decide. Text has no end of them (.hpp, .py, none), so under
// an unknown one the bytes are asked: text has no NUL.
Detected detect(const DataFile& file, const std::string& key) {
  const std::string extension = extension_of(file.path());
  for (const Format* format : all_formats) {
    if (extension != ".u16" && format->recognise != nullptr && format->recognise(file)) {
      return {format, "by its first bytes"};
    }
  }
  for (const Format* format : all_formats) {
    if (std::find(format->extensions.begin(), format->extensions.end(), extension) != format->extensions.end()) {
      return {format, fmt::format("by the extension {}", extension)};
    }
  }
  char head[4096];
  const int64_t count = std::min<int64_t>(file.bytes(), sizeof head);
  file.read(0, count, head);
  const std::string_view bytes(head, static_cast<size_t>(count));
  const size_t nul = bytes.find('\0');
  if (nul == std::string_view::npos) return {&text_format, "by its bytes: no NUL"};
  throw Error({.kind = ErrorKind::data,
               .message = fmt::format("{} `{}` is not text (NUL at byte {}) and its extension says no format", key,
                                      file.path(), nul),
               .file = file.path(),
               .key = key,
               .found = extension.empty() ? "no extension" : fmt::format("the extension {}", extension),
               .expected = "text, or an extension that names a format (.txt, .bin)",
               .cure = fmt::format("set data.format to one of: {}", known_formats())});
}

Detected format_for(const DataFile& file, const SourceOptions& options) {
  if (options.format == "auto") return detect(file, options.key);
  const Format* format = find_format(options.format);
  if (format != nullptr) return {format, ""};
  throw Error({.kind = ErrorKind::config,
               .message = fmt::format("unknown data.format `{}`", options.format),
               .key = "data.format",
               .found = options.format,
               .expected = fmt::format("one of: {}", known_formats()),
               .cure = "choose one of these"});
}

void check_same_format(const DataFile& a, const Format& a_format, const DataFile& b, const Format& b_format,
                       const std::string& key) {
  if (&a_format == &b_format) return;
  throw Error({.kind = ErrorKind::data,
               .message = fmt::format("`{}` is {} but `{}` is {}", a.path(), a_format.name, b.path(), b_format.name),
               .file = b.path(),
               .key = key,
               .found = std::string(b_format.name),
               .expected = fmt::format("{} like the files before it", a_format.name),
               .cure = "use files of one format, or set data.format if these are"});
}

void check_size(const DataFile& file, const Format& format, const std::string& key) {
  if (format.check != nullptr) format.check(file, key);
  if ((file.bytes() - format.header_bytes) % format.token_bytes == 0) return;
  throw Error({.kind = ErrorKind::data,
               .message = fmt::format("{} `{}` ends in the middle of a {} token: {} bytes", key, file.path(),
                                      format.name, file.bytes()),
               .file = file.path(),
               .key = key,
               .found = fmt::format("{} bytes", file.bytes()),
               .expected = fmt::format("a multiple of {} bytes", format.token_bytes),
               .cure = "write the file again, or set data.format if it is not that format"});
}

void refuse_untokenised(const DataFile& file, const Format& format, const SourceOptions& options) {
  if (&format != &text_format || options.tokenizer == "byte") return;
  throw Error(
      {.kind = ErrorKind::data,
       .message = fmt::format("{} `{}` is text, and data.tokenizer {} takes token files", options.key, file.path(),
                              options.tokenizer),
       .file = file.path(),
       .key = options.key,
       .found = "text",
       .expected = "token ids (llmc or uint16), or data.tokenizer byte",
       .cure = fmt::format("run `{} data tokenize FILE --out FILE.bin --tokenizer {} --tokenizer-dir DIR` and set {} "
                           "to FILE.bin",
                           program_name(), options.tokenizer, options.key)});
}

Split split_of(std::shared_ptr<const Source> source, int64_t first, int64_t size) {
  return {.source = std::move(source), .first = first, .size = size};
}

}  // namespace

Source::Source(const SourceOptions& options) : key_(options.key) {
  for (std::string& path : expand(options.path, options.key)) {
    const DataFile& file = files_.emplace_back(std::move(path), options.key);
    const Detected detected = format_for(file, options);
    if (format_ == nullptr) {
      format_ = detected.format;
      how_ = fmt::format("{}{}{}", format_->name, detected.why.empty() ? "" : " ", detected.why);
    }
    check_same_format(files_.front(), *format_, file, *detected.format, options.key);
    check_size(file, *format_, options.key);
    refuse_untokenised(file, *format_, options);
    starts_.push_back(size_);
    size_ += tokens_of(file);
  }
}

int64_t Source::tokens_of(const DataFile& file) const {
  return (file.bytes() - format_->header_bytes) / format_->token_bytes;
}

void Source::read(int64_t first, int64_t count, int32_t* ids) const {
  CHECK(first >= 0 && count >= 0 && first + count <= size_, "tokens [{}, {}) of {}", first, first + count, size_);
  uint8_t buffer[16384];
  const auto capacity = static_cast<int64_t>(sizeof buffer) / format_->token_bytes;
  auto index = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), first) - starts_.begin()) - 1;
  while (count > 0) {
    const DataFile& file = files_[index];
    const int64_t in_file = tokens_of(file) - (first - starts_[index]);
    const int64_t now = std::min({count, capacity, in_file});
    file.read(format_->header_bytes + (first - starts_[index]) * format_->token_bytes, now * format_->token_bytes,
              buffer);
    format_->decode(buffer, now, ids);
    ids += now;
    first += now;
    count -= now;
    if (now == in_file) ++index;
  }
}

Split open_whole(const SourceOptions& options) {
  auto source = std::make_shared<const Source>(options);
  const int64_t size = source->size();
  return split_of(std::move(source), 0, size);
}

Dataset open_dataset(const config::Data& config) {
  const Split all = open_whole({.path = config.path, .format = config.format, .tokenizer = config.tokenizer});
  if (!config.validation_path.empty()) {
    const Split validation = open_whole({.path = {config.validation_path},
                                         .format = config.format,
                                         .tokenizer = config.tokenizer,
                                         .key = "data.validation_path"});
    check_same_format(all.source->files().front(), all.source->format(), validation.source->files().front(),
                      validation.source->format(), "data.validation_path");
    return {.train = all, .validation = validation};
  }
  // in double, as anyone would compute it: 0.1 of 1,115,394 bytes leaves 1,003,854 for training
  const auto train =
      static_cast<int64_t>(std::floor((1.0 - config.validation_fraction) * static_cast<double>(all.size)));
  return {.train = split_of(all.source, 0, train), .validation = split_of(all.source, train, all.size - train)};
}

}  // namespace ringmaster::data
