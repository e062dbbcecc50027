// SPDX-License-Identifier: Apache-2.0
#include "train/json_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace ringmaster::train {

void JsonLine::begin() {
  text_.reserve(8192);  // the digits of a number vary in length; no line shall be the first to be so long
  text_ = "{";
}

void JsonLine::key(std::string_view key) {
  if (text_.back() != '{') text_ += ',';
  text_ += '"';
  text_ += key;
  text_ += "\":";
}

void JsonLine::add(std::string_view name, double value) {
  key(name);
  if (!std::isfinite(value)) {
    text_ += "null";
    return;
  }
  std::array<char, 32> digits;
  char* const end = std::to_chars(digits.begin(), digits.end(), value).ptr;
  text_.append(digits.begin(), end);
  const auto marks_real = [](char c) { return c == '.' || c == 'e'; };
  if (std::none_of(digits.begin(), end, marks_real)) text_ += ".0";  // a reader tells reals from integers
}

void JsonLine::add(std::string_view name, int64_t value) {
  key(name);
  std::array<char, 24> digits;
  text_.append(digits.begin(), std::to_chars(digits.begin(), digits.end(), value).ptr);
}

void JsonLine::add_name(std::string_view name, std::string_view value) {
  key(name);
  text_ += '"';
  text_ += value;
  text_ += '"';
}

void JsonLine::add_bool(std::string_view name, bool value) {
  key(name);
  text_ += value ? "true" : "false";
}

void JsonLine::begin_object(std::string_view name) {
  key(name);
  text_ += '{';
}

}  // namespace ringmaster::train
