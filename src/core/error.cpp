// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include "core/program.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <new>
#include <vector>

namespace ringmaster {

const char* name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::config: return "config";
    case ErrorKind::data: return "data";
    case ErrorKind::checkpoint: return "checkpoint";
    case ErrorKind::memory: return "memory";
    case ErrorKind::diverged: return "diverged";
    case ErrorKind::timeout: return "timeout";
    case ErrorKind::rank: return "rank";
    case ErrorKind::io: return "io";
    case ErrorKind::internal: return "internal";
  }
  return "internal";
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
    case ErrorKind::config:
    case ErrorKind::data:
    case ErrorKind::checkpoint: return 2;
    case ErrorKind::memory: return 3;
    case ErrorKind::diverged: return 4;
    case ErrorKind::timeout: return 5;
    case ErrorKind::rank:
    case ErrorKind::io:
    case ErrorKind::internal: return 1;
  }
  return 1;
}

Error::Error(ErrorInfo info) : std::runtime_error(info.message), info_(std::move(info)) {}

ErrorInfo describe(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return error->info();
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) {
    return {.kind = ErrorKind::memory,
            .message = "this machine does not grant the memory that is needed",
            .cure = fmt::format(
                "see `ulimit -d`, `ulimit -v` and the memory limit of the container; `{} plan` says what a run needs",
                program_name())};
  }
  return {.kind = ErrorKind::internal,
          .message = exception.what(),
          .cure = "this is a bug of ringmaster: please report it with the command and the configuration"};
}

std::string render(const ErrorInfo& info) {
  std::string out;
  if (!info.file.empty()) {
    out += info.file;
    if (info.line > 0) out += fmt::format(":{}", info.line);
    if (info.line > 0 && info.column > 0) out += fmt::format(":{}", info.column);
    out += ": ";
  }
  out += "error: " + info.message + "\n";
  if (!info.excerpt.empty()) {
    const size_t indent = std::min(info.excerpt.find_first_not_of(' '), info.excerpt.size());
    const std::string text = info.excerpt.substr(indent);
    out += "    " + text + "\n";
    const auto start = static_cast<size_t>(std::max(info.column, 1)) - 1;
    if (start >= indent && start < info.excerpt.size()) {
      out += "    " + std::string(start - indent, ' ') + "^" + std::string(info.excerpt.size() - start - 1, '~') + "\n";
    }
  }
  if (!info.expected.empty()) out += "  expected " + info.expected + "\n";
  if (!info.cure.empty()) out += "  " + info.cure + "\n";
  return out;
}

// Damerau-Levenshtein (optimal string alignment), case-insensitive: a swapped pair is one mistake.
int edit_distance(const std::string& a, const std::string& b) {
  const size_t n = a.size(), m = b.size();
  std::vector<std::vector<int>> d(n + 1, std::vector<int>(m + 1));
  for (size_t i = 0; i <= n; ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= m; ++j) d[0][j] = static_cast<int>(j);
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  for (size_t i = 1; i <= n; ++i) {
    for (size_t j = 1; j <= m; ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[n][m];
}

void check_failed(const char* condition, const char* file, int line, const std::string& text) {
  const char* src = std::strstr(file, "src/");
  throw Error({.kind = ErrorKind::internal,
               .message = fmt::format("internal check failed: {} ({})", text, condition),
               .file = src != nullptr ? src : file,
               .line = line,
               .cure = "this is a bug of ringmaster: please report it with the command and the configuration"});
}

}  // namespace ringmaster
