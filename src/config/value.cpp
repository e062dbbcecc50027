// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <utility>

namespace ringmaster::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// -?(0|[1-9][0-9]*)
bool is_decimal_integer(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return all_digits(text) && (text.size() == 1 || text[0] != '0');
}

// -?(0|[1-9][0-9]*)?(.[0-9]*)?([eE][+-]?[0-9]+)? with a digit before the exponent
bool is_decimal_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
    if (!all_digits(exponent)) return false;
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view part = point < text.size() ? text.substr(point + 1) : "";
  if (whole.empty() && part.empty()) return false;
  return (whole.empty() || is_decimal_integer(whole)) && (part.empty() || all_digits(part));
}

template <typename T> std::optional<T> from_text(std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What YAML 1.1 or 1.2 readers take for a number: also hex, octal, underscores, signs, .inf and .nan.
bool looks_like_number(std::string_view text) {
  std::string t = lower(text);
  std::erase(t, '_');
  if (t.starts_with('-') || t.starts_with('+')) t.erase(0, 1);
  if (t == ".inf" || t == ".nan") return true;
  if (t.starts_with("0x") || t.starts_with("0o"))
    return t.find_first_not_of("0123456789abcdef", 2) == std::string::npos;
  const size_t digit = t.starts_with('.') ? 1 : 0;
  if (digit >= t.size() || !is_digit(t[digit])) return false;
  double ignored = 0;
  return std::from_chars(t.data(), t.data() + t.size(), ignored).ptr == t.data() + t.size();  // 1e999 is a number too
}

bool looks_like_word(std::string_view text) {
  constexpr std::array<std::string_view, 10> words = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"};
  return std::ranges::find(words, lower(text)) != words.end();
}

// The one mistake in a number that can be named, as a cure.
std::string number_cure(const Scalar& scalar) {
  const std::string& t = scalar.text;
  if (scalar.quoted) return is_decimal_number(t) ? "remove the quotes" : "";
  if (t.find('_') != std::string::npos && looks_like_number(t)) return "write it without underscores";
  if (t.starts_with("0x") || t.starts_with("0o")) return "write it in decimal";
  if (t.starts_with('+')) return "write it without the plus sign";
  const size_t digits = t.starts_with('-') ? 1 : 0;
  if (t.size() > digits + 1 && t[digits] == '0' && is_digit(t[digits + 1])) {
    return "write it in decimal, without leading zeros";  // YAML 1.1 reads 010 as 8
  }
  return "";
}

[[noreturn]] void refuse_value(const Scalar& s, const Rule& rule, const ErrorInfo& place, const std::string& problem,
                               const std::string& cure) {
  const std::string found = fmt::format("{}{}", s.quoted ? "the string " : "", quote(s.text));
  refuse(place, {.message = fmt::format("`{}` is {}{}", place.key, found, problem),
                 .found = s.text,
                 .expected = expectation(rule),
                 .cure = cure});
}

void check_range(double x, const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  const Range& r = rule.range;
  const bool inside = (r.open_low ? x > r.low : x >= r.low) && (r.open_high ? x < r.high : x <= r.high);
  if (!inside) refuse_value(s, rule, place, ", out of range", "");
}

int64_t parse_integer(const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  if (!rule.word_for_zero.empty() && s.text == rule.word_for_zero) return 0;
  std::optional<int64_t> value;
  if (rule.is_bytes) value = parse_bytes(s.text);
  if (!value.has_value() && !s.quoted && is_decimal_integer(s.text)) {
    value = from_text<int64_t>(s.text);
    if (!value.has_value()) refuse_value(s, rule, place, ", which does not fit 64 bits", "");
  }
  if (!value.has_value()) {
    const bool fraction = !s.quoted && is_decimal_number(s.text);
    refuse_value(s, rule, place, fraction ? ", not a whole number" : "", number_cure(s));
  }
  check_range(static_cast<double>(*value), s, rule, place);
  return *value;
}

uint64_t parse_unsigned(const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  if (s.quoted || !is_decimal_integer(s.text)) refuse_value(s, rule, place, "", number_cure(s));
  const auto value = from_text<uint64_t>(s.text);
  if (!value.has_value())
    refuse_value(s, rule, place, s.text[0] == '-' ? ", out of range" : ", which does not fit 64 bits", "");
  return *value;
}

double parse_real(const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  if (s.quoted || !is_decimal_number(s.text)) refuse_value(s, rule, place, "", number_cure(s));
  const auto value = from_text<double>(s.text);
  if (!value.has_value()) refuse_value(s, rule, place, ", which does not fit a 64-bit float", "");
  check_range(*value, s, rule, place);
  return *value + 0.0;  // -0 is 0
}

void check_regex(const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  if (s.text.size() > longest_regex)
    refuse_value(s, rule, place, fmt::format(", longer than {} bytes", longest_regex), "");
  try {
    const std::regex compiled(s.text, std::regex::ECMAScript);
  } catch (const std::regex_error& e) {
    refuse_value(s, rule, place, fmt::format(", not a regular expression: {}", e.what()),
                 "escape ( ) [ ] { } * + ? . with \\");
  }
}

// What other programs call it.
std::string our_word(const std::string& word) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> others = {{{"bfloat16", "bf16"},
                                                                                    {"float16", "f16"},
                                                                                    {"fp16", "f16"},
                                                                                    {"half", "f16"},
                                                                                    {"float32", "f32"},
                                                                                    {"fp32", "f32"},
                                                                                    {"float", "f32"}}};
  const auto* found = std::ranges::find(others, word, [](const auto& pair) { return pair.first; });
  return found == others.end() ? word : std::string(found->second);
}

std::string parse_string(const Scalar& s, const Rule& rule, const ErrorInfo& place) {
  if (rule.is_budget && !s.text.empty()) {
    if (!parse_budget(s.text)) refuse_value(s, rule, place, "", "");
    return s.text;  // digits alone are bytes
  }
  if (!rule.choices.empty() && std::ranges::find(rule.choices, s.text) == rule.choices.end()) {
    const std::string meant = nearest(our_word(lower(s.text)), rule.choices);
    refuse_value(s, rule, place, "", meant.empty() ? "" : fmt::format("did you mean `{}`?", meant));
  }
  if (!s.quoted && (looks_like_word(s.text) || looks_like_number(s.text))) {
    refuse_value(s, rule, place, ", not a string", fmt::format("if it is meant as text, write \"{}\"", s.text));
  }
  if (s.text.empty() && !rule.may_be_empty)
    refuse_value(s, rule, place, ", empty", "write a value, or remove the key to take the default");
  if (!is_utf8(s.text)) refuse_value(s, rule, place, ", not UTF-8", "");
  if (s.text.find('\0') != std::string::npos) refuse_value(s, rule, place, " with a NUL character", "remove \\0");
  if (rule.is_regex) check_regex(s, rule, place);
  return s.text;
}

std::string real_text(double x) {
  std::string text = fmt::format("{}", x);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

Value parse_value(const Scalar& scalar, const Rule& rule, const ErrorInfo& place) {
  switch (rule.type) {
    case Type::boolean:
      if (scalar.quoted || (scalar.text != "true" && scalar.text != "false")) {
        const std::string word = lower(scalar.text);
        const bool yes = word == "yes" || word == "on" || word == "y" || word == "true" || word == "1";
        refuse_value(scalar, rule, place, "",
                     yes || looks_like_word(word) || word == "0" ? fmt::format("write `{}`", yes) : "");
      }
      return scalar.text == "true";
    case Type::integer: return parse_integer(scalar, rule, place);
    case Type::unsigned_integer: return parse_unsigned(scalar, rule, place);
    case Type::real: return parse_real(scalar, rule, place);
    case Type::string: return parse_string(scalar, rule, place);
    case Type::strings:
    case Type::groups: break;
  }
  CHECK(false, "a list is not a scalar: {}", place.key);
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 9> units = {{{"KiB", 1LL << 10},
                                                                          {"MiB", 1LL << 20},
                                                                          {"GiB", 1LL << 30},
                                                                          {"TiB", 1LL << 40},
                                                                          {"TB", 1'000'000'000'000},
                                                                          {"KB", 1'000},
                                                                          {"MB", 1'000'000},
                                                                          {"GB", 1'000'000'000},
                                                                          {"", 1}}};
  for (const auto& [name, bytes] : units) {
    if (!text.ends_with(name)) continue;
    const std::string_view digits = text.substr(0, text.size() - name.size());
    const auto count = is_decimal_integer(digits) ? from_text<int64_t>(digits) : std::nullopt;
    if (count.has_value() && *count >= 0 && *count <= std::numeric_limits<int64_t>::max() / bytes)
      return *count * bytes;
    // "2.25GiB", as sizes are printed: rounded down to a byte
    const bool plain = !digits.empty() && digits.find_first_not_of("0123456789.") == std::string_view::npos;
    if (name.empty() || count.has_value() || !plain || !is_decimal_number(digits)) return std::nullopt;
    const double exact = from_text<double>(digits).value_or(-1) * static_cast<double>(bytes);
    return exact >= 0 && exact < 9e18 ? std::optional(static_cast<int64_t>(exact)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<Budget> parse_budget(std::string_view text) {
  if (text.ends_with('%')) {
    const std::string_view digits = text.substr(0, text.size() - 1);
    const auto percent = is_decimal_number(digits) ? from_text<double>(digits) : std::nullopt;
    if (!percent || !(*percent > 0 && *percent <= 100)) return std::nullopt;
    return Budget{.share = *percent / 100};
  }
  const auto bytes = parse_bytes(text);
  if (!bytes || *bytes == 0) return std::nullopt;
  return Budget{.bytes = *bytes};
}

std::string yaml_string(std::string_view text) {
  const auto is_plain = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == '.' ||
           c == '-';
  };
  const bool starts_well = !text.empty() && text[0] != '-' && text[0] != '.';
  if (starts_well && std::ranges::all_of(text, is_plain) && !looks_like_word(text) && !looks_like_number(text)) {
    return std::string(text);
  }
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string yaml_text(const Value& value, const Rule& rule) {
  switch (rule.type) {
    case Type::boolean: return std::get<bool>(value) ? "true" : "false";
    case Type::integer: {
      const int64_t i = std::get<int64_t>(value);
      return i == 0 && !rule.word_for_zero.empty() ? std::string(rule.word_for_zero) : fmt::format("{}", i);
    }
    case Type::unsigned_integer: return fmt::format("{}", std::get<uint64_t>(value));
    case Type::real: return real_text(std::get<double>(value));
    case Type::string: return yaml_string(std::get<std::string>(value));
    case Type::strings: {
      std::vector<std::string> parts;
      for (const std::string& s : std::get<std::vector<std::string>>(value)) parts.push_back(yaml_string(s));
      return fmt::format("[{}]", fmt::join(parts, ", "));
    }
    case Type::groups: {
      std::vector<std::string> parts;
      for (const OptimizerGroup& group : std::get<std::vector<OptimizerGroup>>(value)) {
        std::vector<std::string> fields;
        for (const GroupKey& k : group_keys()) {
          if (const auto field = k.get(group))
            fields.push_back(fmt::format("{}: {}", k.name, yaml_text(*field, k.rule)));
        }
        parts.push_back(fmt::format("{{{}}}", fmt::join(fields, ", ")));
      }
      return fmt::format("[{}]", fmt::join(parts, ", "));
    }
  }
  return "";
}

nlohmann::json json_value(const Value& value, const Rule& rule) {
  if (rule.type == Type::groups) {
    auto list = nlohmann::json::array();
    for (const OptimizerGroup& group : std::get<std::vector<OptimizerGroup>>(value)) {
      auto fields = nlohmann::json::object();
      for (const GroupKey& k : group_keys()) {
        if (const auto field = k.get(group)) fields[std::string(k.name)] = json_value(*field, k.rule);
      }
      list.push_back(std::move(fields));
    }
    return list;
  }
  if (rule.type == Type::integer && std::get<int64_t>(value) == 0 && !rule.word_for_zero.empty())
    return rule.word_for_zero;
  return std::visit(
      [](const auto& v) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::vector<OptimizerGroup>>) {
          return nullptr;
        } else {
          return v;
        }
      },
      value);
}

}  // namespace ringmaster::config
