// SPDX-License-Identifier: Apache-2.0
// json: strict parsing of small JSON files that others may have written: duplicate keys, deep nesting, NUL bytes, a byte order
// mark, non-UTF-8 and anything after the value are refused.
#pragma once
#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace ringmaster::checkpoint {

// Throws Error (checkpoint) naming `file` and the byte where parsing stopped.
nlohmann::json parse_strict(std::string_view text, const std::string& file);

// What the library says, without its own tags and with foreign bytes shown as "?": fit for an error message.
std::string json_problem(const nlohmann::json::exception& e);

}  // namespace ringmaster::checkpoint
