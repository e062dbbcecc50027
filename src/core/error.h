// SPDX-License-Identifier: Apache-2.0
// error: what a user can mend. An Error says the place, what was found, what was expected and the cure (contract.md, JSON).
// CHECK is for our own bugs and prints its source location. Texts start in lower case and have no final period.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace ringmaster {

enum class ErrorKind { usage, config, data, checkpoint, memory, diverged, timeout, rank, io, internal };

// "usage", "config", ... as in the JSON field "kind"
const char* name(ErrorKind kind);
// 2 for usage, config, data and checkpoint; 3 memory; 4 diverged; 5 timeout; 1 otherwise
int exit_code(ErrorKind kind);

// Every text field may be empty and every number 0, which means "not applicable" and is null in JSON.
struct ErrorInfo {
  ErrorKind kind = ErrorKind::internal;
  std::string message;  // one sentence: what is wrong, with what was found
  std::string file;     // place
  int line = 0;         // 1-based
  int column = 0;       // 1-based
  std::string key;      // configuration key or flag
  std::string found;
  std::string expected;
  std::string cure;     // what to do
  std::string excerpt;  // the offending source line, printed with a caret under `column`
};

class Error : public std::runtime_error {
 public:
  explicit Error(ErrorInfo info);
  const ErrorInfo& info() const { return info_; }

 private:
  ErrorInfo info_;
};

// What any exception means to a user: an Error's own words, exhausted memory as kind memory, anything else as a bug of ours.
ErrorInfo describe(const std::exception& exception);

// The human rendering: "FILE:LINE:COL: error: message", excerpt with caret, expected, cure. Ends with a newline.
std::string render(const ErrorInfo& info);

// The one known name that begins with `word`, else the nearest by edit distance, or "" if none is near enough to suggest.
template <typename Names> std::string nearest(const std::string& word, const Names& names);
int edit_distance(const std::string& a, const std::string& b);

[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& text);

// ---- implementation
template <typename Names> std::string nearest(const std::string& word, const Names& names) {
  std::string best;
  int begun = 0;
  for (const auto& candidate : names) {
    if (!std::string_view(candidate).starts_with(word)) continue;
    best = std::string(candidate);
    ++begun;
  }
  if (begun == 1 && !word.empty()) return best;
  best.clear();
  int best_distance = static_cast<int>(word.size()) / 3 + 2;  // further away is noise, not a hint
  for (const auto& candidate : names) {
    const int distance = edit_distance(word, std::string(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

}  // namespace ringmaster

// An internal invariant: CHECK(a == b, "a is {}", a). Stays on in release builds; throws ErrorKind::internal.
#define CHECK(condition, ...)                                                                                 \
  do {                                                                                                        \
    if (!(condition)) ::ringmaster::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
