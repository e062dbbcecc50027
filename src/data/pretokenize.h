// SPDX-License-Identifier: Apache-2.0
// pretokenize: UTF-8 text into the words that GPT-2's byte-pair merges never cross. Its pattern, by hand over code points:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// \p{L} and \p{N} are general categories, \s is White_Space, both of the ICU that is linked (72 is Unicode 15.0). A character
// that another version of Unicode assigned counts as "other" here and may split otherwise elsewhere.     Radford et al. 2019
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace ringmaster::data {

// The first byte that is not part of well-formed UTF-8 (no surrogates, no overlong forms), or npos.
size_t first_invalid_utf8(std::string_view text);

// Length of the first word of `text`, which is valid UTF-8 and not empty.
size_t first_word(std::string_view text);

// The last position in [low, text.size()) where the words before it do not depend on the text after it nor the other way
// round: between a character that is no white space and an ASCII blank or line feed. npos if there is none; 0 never is one.
size_t last_safe_cut(std::string_view text, size_t low);

// Hands bytes on in whole characters: a terminal would show half of one as rubbish. Bytes that are no UTF-8 pass unchanged.
class Utf8Stream {
 public:
  std::string add(std::string_view bytes);  // what is whole so far
  std::string rest() { return std::move(waiting_); }

 private:
  std::string waiting_;  // at most 3 bytes
};

}  // namespace ringmaster::data
