// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/json.h"

#include "core/error.h"

#include <algorithm>
#include <set>
#include <vector>

namespace ringmaster::checkpoint {

using nlohmann::json;

json parse_strict(std::string_view text, const std::string& file) {
  constexpr int deepest = 32;
  const auto refuse = [&](std::string why) {
    return Error({.kind = ErrorKind::checkpoint, .message = "is not valid JSON: " + std::move(why), .file = file});
  };
  // The library takes NUL for the end of its input and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos) throw refuse(fmt::format("NUL at byte {}", text.find('\0')));
  if (text.starts_with("\xEF\xBB\xBF")) throw refuse("it starts with a byte order mark");

  std::vector<std::set<std::string>> keys;  // of the objects being parsed, outermost first
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > deepest) throw refuse(fmt::format("nested deeper than {} levels", deepest));
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      throw refuse(fmt::format("key {} stands twice in one object", value.dump()));
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& e) { throw refuse(json_problem(e)); }
}

std::string json_problem(const json::exception& e) {
  std::string text = e.what();
  if (text.starts_with('[')) text.erase(0, std::min(text.find("] "), text.size() - 2) + 2);
  for (char& c : text)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return text;
}

}  // namespace ringmaster::checkpoint
