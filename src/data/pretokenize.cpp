// SPDX-License-Identifier: Apache-2.0
#include "data/pretokenize.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace ringmaster::data {
namespace {

enum class Class : uint8_t { letter, number, space, other };

Class look_up(UChar32 c) {
  if (u_isUWhiteSpace(c) != 0) return Class::space;
  const auto category = U_MASK(u_charType(c));
  if ((category & U_GC_L_MASK) != 0) return Class::letter;
  return (category & U_GC_N_MASK) != 0 ? Class::number : Class::other;
}

Class class_of(UChar32 c) {
  static const std::array<Class, 256> low = [] {
    std::array<Class, 256> table{};
    for (UChar32 i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = look_up(i);
    return table;
  }();
  return c < 256 ? low[static_cast<size_t>(c)] : look_up(c);
}

// The code point at `at`, which moves past it; negative where the bytes are no UTF-8.
UChar32 next(std::string_view text, size_t& at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  UChar32 c = 0;
  U8_NEXT(bytes, at, text.size(), c);
  return c;
}

// Length of 's, 't, 're, ... at the start, else 0.
size_t contraction(std::string_view text) {
  if (text[0] != '\'') return 0;
  for (const std::string_view end : {"s", "t", "re", "ve", "m", "ll", "d"}) {
    if (text.substr(1).starts_with(end)) return 1 + end.size();
  }
  return 0;
}

}  // namespace

size_t first_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    if (next(text, at) < 0) return start;
  }
  return std::string_view::npos;
}

size_t first_word(std::string_view text) {
  if (const size_t length = contraction(text); length > 0) return length;
  size_t at = 0;
  Class kind = class_of(next(text, at));
  if (text[0] == ' ' && at < text.size()) {  // one blank belongs to the word after it
    size_t after = at;
    if (const Class second = class_of(next(text, after)); second != Class::space) {
      kind = second;
      at = after;
    }
  }
  size_t last = 0;  // start of the run's last character
  while (at < text.size()) {
    size_t after = at;
    if (class_of(next(text, after)) != kind) {
      // \s+(?!\S): white space leaves its last character to the word that follows, unless it is the only one
      return kind == Class::space && last > 0 ? last : at;
    }
    last = at;
    at = after;
  }
  return at;
}

size_t last_safe_cut(std::string_view text, size_t low) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t cut = text.size(); cut-- > low && cut > 0;) {
    if (text[cut] != '\n' && text[cut] != ' ') continue;
    auto before = static_cast<int32_t>(std::min<size_t>(cut, U8_MAX_LENGTH));
    const auto* window = bytes + cut - before;
    UChar32 c = 0;
    U8_PREV(window, 0, before, c);
    if (c >= 0 && class_of(c) != Class::space) return cut;
  }
  return std::string_view::npos;
}

std::string Utf8Stream::add(std::string_view bytes) {
  std::string text = std::move(waiting_);
  text += bytes;
  waiting_.clear();
  size_t lead = text.size();
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<uint8_t>(text[text.size() - back]);
    if (U8_IS_TRAIL(byte)) continue;
    if (static_cast<size_t>(U8_COUNT_TRAIL_BYTES(byte)) >= back) lead = text.size() - back;
    break;
  }
  waiting_ = text.substr(lead);
  text.resize(lead);
  return text;
}

}  // namespace ringmaster::data
