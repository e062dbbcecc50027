// SPDX-License-Identifier: Apache-2.0
#include "launcher/output.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringmaster::launcher {
namespace {

// false and errno where the descriptor takes no more
bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

void print(std::string_view text) {
  if (write_all(STDOUT_FILENO, text)) return;
  throw Error({.kind = ErrorKind::io,
               .message = fmt::format("cannot write to stdout: {}", std::strerror(errno)),
               .cure = "see whether the disk that it goes to is full"});
}

void print_json(const nlohmann::json& object) {
  // Paths are bytes and JSON is text: what is not UTF-8 is shown as U+FFFD.
  print(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

nlohmann::json error_json(const ErrorInfo& info) {
  const auto text = [](const std::string& value) { return value.empty() ? nlohmann::json() : nlohmann::json(value); };
  const auto number = [](int value) { return value == 0 ? nlohmann::json() : nlohmann::json(value); };
  return {{"schema", "ringmaster.error/1"},  {"code", exit_code(info.kind)}, {"kind", name(info.kind)},
          {"message", info.message},         {"file", text(info.file)},      {"line", number(info.line)},
          {"column", number(info.column)},   {"key", text(info.key)},        {"found", text(info.found)},
          {"expected", text(info.expected)}, {"cure", text(info.cure)}};
}

void report(const ErrorInfo& info) { write_all(STDERR_FILENO, render(info)); }
void chatter(std::string_view text) { write_all(STDERR_FILENO, text); }
void note(std::string_view line) { write_all(STDERR_FILENO, fmt::format("{}\n", line)); }

}  // namespace ringmaster::launcher
