// SPDX-License-Identifier: Apache-2.0
// value: the text of one value, to and fro. Numbers are decimal and plain (JSON's, without leading zeros, underscores,
// hex, nan or inf), whatever the locale; only true and false are booleans; text that YAML 1.1 reads as something else
// must be quoted.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/schema.h"
#include "config/source.h"
#include "core/error.h"

namespace ringmaster::config {

struct Scalar {
  std::string text;
  bool quoted = false;
};

// The value of type rule.type (not strings or groups). Throws at `place`, whose key names the value, if it breaks the
// rule.
Value parse_value(const Scalar& scalar, const Rule& rule, const ErrorInfo& place);

// "262144", "256KiB" (1024), "256KB" (1000), up to 2^63 - 1; nullopt if it is anything else.
std::optional<int64_t> parse_bytes(std::string_view text);

inline constexpr size_t longest_regex = 500;  // bytes; std::regex recurses

// "3GiB", or "60%" of a whole, above 0 and at most 100.
struct Budget {
  int64_t bytes = 0;
  double share = 0;  // of the whole; 0 where bytes are given
};
std::optional<Budget> parse_budget(std::string_view text);

// One line of YAML that parse_value and the loader read back to the same value; floats shortest round trip.
std::string yaml_text(const Value& value, const Rule& rule);
// A string as YAML, quoted if it has to be.
std::string yaml_string(std::string_view text);
nlohmann::json json_value(const Value& value, const Rule& rule);

}  // namespace ringmaster::config
