// SPDX-License-Identifier: Apache-2.0
#include "config/source.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

namespace ringmaster::config {
namespace {

namespace fs = std::filesystem;

constexpr int64_t max_bytes = 256 << 10;  // a hundred times a long configuration
constexpr size_t max_excerpt = 160;
constexpr std::string_view bom = "\xEF\xBB\xBF";

std::string line_of(std::string_view text, int line) {
  size_t begin = 0;
  for (int i = 1; i < line; ++i) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return "";
    begin = end + 1;
  }
  std::string_view found = text.substr(begin, text.find('\n', begin) - begin);
  if (found.ends_with('\r')) found.remove_suffix(1);
  return std::string(found);
}

// At most `longest` bytes, no UTF-8 sequence cut in two.
std::string_view shortened(std::string_view text, size_t longest) {
  if (text.size() <= longest) return text;
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0U) == 0x80U) --longest;
  return text.substr(0, longest);
}

// What goes to a terminal: no control characters, no endless line, no broken UTF-8.
std::string printable(std::string_view text, size_t longest) {
  std::string line(shortened(text, longest));
  const bool ascii_only = !is_utf8(line);
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
    if (byte >= 0x80 && ascii_only) c = '?';
  }
  return line;
}

ErrorInfo at_byte(const Source& source, size_t offset) {
  const std::string_view before = std::string_view(source.text).substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return source.at(static_cast<int>(std::ranges::count(before, '\n')) + 1, static_cast<int>(offset - line_start) + 1);
}

// Bytes of the UTF-8 sequence at the start of `text`, 0 if it is malformed (overlong, surrogate, beyond U+10FFFF, cut).
size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  const unsigned second = byte(1);
  if (lead == 0xE0 && second < 0xA0) return 0;
  if (lead == 0xED && second > 0x9F) return 0;
  if (lead == 0xF0 && second < 0x90) return 0;
  if (lead == 0xF4 && second > 0x8F) return 0;
  return length;
}

size_t first_bad_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_sequence(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

// The file that was probably meant: the nearest name in the same folder.
std::string similar_file(const fs::path& path) {
  std::error_code ignored;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    if (it->path().extension() == ".yaml" || it->path().extension() == ".yml")
      names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);
  const std::string name = nearest(path.filename().string(), names);
  return name.empty() ? "" : (path.parent_path() / name).string();
}

// "permission denied": the system's words, as part of a sentence.
std::string reason(int code) {
  std::string text = std::strerror(code);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

// Everything that is not a readable regular file of sensible size.
void check_file(const std::string& path, const ErrorInfo& place) {
  const std::string expected = "a YAML configuration file";
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) {
    const std::string similar = similar_file(path);
    refuse(place, {.message = "no such file",
                   .expected = expected,
                   .cure = similar.empty() ? "check the path" : fmt::format("did you mean `{}`?", similar)});
  }
  if (status.type() == fs::file_type::directory) {
    refuse(place,
           {.message = "this is a folder", .found = "a folder", .expected = expected, .cure = "name the file in it"});
  }
  if (code)
    refuse(place, {.message = fmt::format("cannot read the file: {}", reason(code.value())), .expected = expected});
  if (status.type() != fs::file_type::regular) {
    refuse(place, {.message = "this is not a regular file", .expected = expected, .cure = "write it to a file first"});
  }
}

}  // namespace

ErrorInfo Source::at(int line, int column, std::string key_name) const {
  ErrorInfo info{.kind = kind, .key = key.empty() ? std::move(key_name) : key};
  if (!flag.empty()) {
    info.excerpt = printable(flag, max_excerpt);
  } else {
    info.file = file;
    info.line = line;
    info.column = column;
    info.excerpt = printable(line_of(text, line), max_excerpt);
  }
  return info;
}

Source read_source(const std::string& path) {
  Source source{.file = path};
  const ErrorInfo place{.kind = ErrorKind::config, .file = path};
  check_file(path, place);
  std::ifstream in(path, std::ios::binary);
  if (!in)
    refuse(place, {.message = fmt::format("cannot read the file: {}", reason(errno)), .cure = "check its permissions"});
  source.text.resize(max_bytes + 1);
  in.read(source.text.data(), max_bytes + 1);
  source.text.resize(static_cast<size_t>(in.gcount()));
  if (in.bad()) refuse(place, {.message = fmt::format("cannot read the file: {}", reason(errno))});
  if (source.text.find('\0') != std::string::npos || static_cast<int64_t>(source.text.size()) > max_bytes) {
    const bool binary = source.text.find('\0') != std::string::npos;
    refuse(place, {.message = binary ? "this is a binary file" : "this file is too large for a configuration",
                   .found = binary ? "NUL bytes" : fmt::format("more than {} bytes", max_bytes),
                   .expected = "a YAML configuration file",
                   .cure = "is it the data? it belongs into `data.path`"});
  }
  const size_t first = source.text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && (source.text[first] == '{' || source.text[first] == '[')) {
    refuse(at_byte(source, first), {.message = "this is JSON or flow style",
                                    .found = quote(source.text.substr(first, 1)),
                                    .expected = "lines of `section:`, then indented lines of `key: value`",
                                    .cure = "write it as YAML with one key a line"});
  }
  check_text(source);
  return source;
}

void check_text(const Source& source) {
  const std::string& text = source.text;
  if (text.starts_with(bom)) {
    refuse(at_byte(source, 0), {.message = "the text starts with a byte order mark",
                                .found = "U+FEFF",
                                .expected = "UTF-8 without byte order mark",
                                .cure = "save it as plain UTF-8"});
  }
  if (const size_t bad = first_bad_utf8(text); bad != std::string::npos) {
    refuse(at_byte(source, bad), {.message = "the text is not UTF-8",
                                  .found = fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text[bad])),
                                  .expected = "UTF-8",
                                  .cure = "save it as UTF-8"});
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool line_end = c == '\n' || (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if (line_end || (c >= 0x20 && c != 0x7f)) continue;
    refuse(at_byte(source, i), {.message = c == '\t' ? "a tab" : fmt::format("a control character, 0x{:02x}", c),
                                .found = c == '\t' ? "a tab" : fmt::format("byte 0x{:02x}", c),
                                .expected = "spaces and printable text",
                                .cure = c == '\t' ? "use spaces; inside double quotes write \\t"
                                                  : fmt::format("remove it; inside double quotes write \\x{:02x}", c)});
  }
}

bool is_utf8(std::string_view text) { return first_bad_utf8(text) == std::string_view::npos; }

ErrorInfo with(ErrorInfo place, Complaint complaint) {
  place.message = std::move(complaint.message);
  place.found = std::move(complaint.found);
  place.expected = std::move(complaint.expected);
  place.cure = std::move(complaint.cure);
  return place;
}

void refuse(const ErrorInfo& place, Complaint complaint) { throw Error(with(place, std::move(complaint))); }

std::string quote(std::string_view text) {
  constexpr size_t longest = 60;
  return fmt::format("`{}{}`", printable(text, longest), text.size() > longest ? "..." : "");
}

}  // namespace ringmaster::config
