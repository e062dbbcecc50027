// SPDX-License-Identifier: Apache-2.0
// What a rule of the schema says to a person.
#include <cmath>

#include "config/schema.h"
#include "core/error.h"

namespace ringmaster::config {
namespace {

std::string number(double x) { return fmt::format("{}", x); }

}  // namespace

std::string range_text(const Rule& rule) {
  const Range& r = rule.range;
  const bool whole = rule.type == Type::integer;
  if (std::isinf(r.low) && std::isinf(r.high)) return "";
  if (std::isinf(r.high)) return fmt::format("{} {}", r.open_low ? ">" : ">=", number(r.low));
  if (whole) return fmt::format("{}..{}", static_cast<int64_t>(r.low), static_cast<int64_t>(r.high));
  return fmt::format("{}{}, {}{}", r.open_low ? '(' : '[', number(r.low), number(r.high), r.open_high ? ')' : ']');
}

std::string type_text(const Rule& rule) {
  switch (rule.type) {
    case Type::boolean: return "true | false";
    case Type::integer:
      if (rule.is_bytes) return "bytes";
      return rule.word_for_zero.empty() ? "integer" : fmt::format("{} | integer", rule.word_for_zero);
    case Type::unsigned_integer: return "integer";
    case Type::real: return "number";
    case Type::string:
      if (rule.is_budget) return "bytes | percentage";
      return rule.choices.empty() ? "string" : fmt::format("{}", fmt::join(rule.choices, " | "));
    case Type::strings: return "string or list";
    case Type::groups: return "list";
  }
  return "";
}

std::string expectation(const Rule& rule) {
  const std::string range = range_text(rule);
  const std::string within = range.empty() ? "" : (range[0] == '>' ? " " : " in ") + range;
  switch (rule.type) {
    case Type::boolean: return "true or false";
    case Type::integer:
      if (rule.is_bytes) return fmt::format("a byte size{}, such as 262144 or 256KiB", within);
      return fmt::format("{}an integer{}", rule.word_for_zero.empty() ? "" : fmt::format("{} or ", rule.word_for_zero),
                         within);
    case Type::unsigned_integer: return "an integer in 0..18446744073709551615";
    case Type::real: return "a number" + within;
    case Type::string:
      if (rule.is_regex) return "a regular expression (ECMAScript)";
      if (rule.is_budget) return "a byte size, such as 3GiB, or a percentage, such as 60%";
      return rule.choices.empty() ? "a string" : fmt::format("one of: {}", fmt::join(rule.choices, ", "));
    case Type::strings: return "a path, a glob or a list of them";
    case Type::groups: return "a list of sections {match, lr_factor, weight_decay, name, beta1, beta2, frozen}";
  }
  return "";
}

}  // namespace ringmaster::config
