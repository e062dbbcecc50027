// SPDX-License-Identifier: Apache-2.0
// source: the text of a configuration and the place that errors in it name: a line of a file, or a flag of the command
// line. Only plain text is accepted: UTF-8 without BOM, tabs or control characters.
#pragma once
#include <string>
#include <string_view>

#include "core/error.h"

namespace ringmaster::config {

struct Source {
  std::string file;  // as the user named it; empty for a flag
  std::string flag;  // "--set k=v"; empty for a file
  std::string text;
  ErrorKind kind = ErrorKind::config;  // of the errors in it
  std::string key = {};                // named by errors in place of the key: the flag that stands for it

  // Where an error is: line and column are 1-based, the column counts bytes; both are ignored for a flag.
  ErrorInfo at(int line, int column, std::string key_name = "") const;
};

// Reads a file of at most 256 KiB; blocks. Errors (kind config): missing, folder, unreadable, too large, binary,
// JSON, BOM, not UTF-8, tabs and other control characters.
Source read_source(const std::string& path);

// Throws unless the text is UTF-8 without BOM, tabs or control characters but line ends.
void check_text(const Source& source);
bool is_utf8(std::string_view text);

// What an error says besides its place.
struct Complaint {
  std::string message;
  std::string found = {};
  std::string expected = {};
  std::string cure = {};
};
ErrorInfo with(ErrorInfo place, Complaint complaint);
[[noreturn]] void refuse(const ErrorInfo& place, Complaint complaint);

// `text` between back quotes, on one line, shortened: for messages.
std::string quote(std::string_view text);

}  // namespace ringmaster::config
