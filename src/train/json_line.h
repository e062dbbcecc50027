// SPDX-License-Identifier: Apache-2.0
// json_line: an object of one line, written into memory that is kept from line to line: what every step appends to a file costs no
// allocation.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace ringmaster::train {

class JsonLine {
 public:
  void begin();
  void add(std::string_view key,
           double value);  // null if it is not finite; as many digits as tell it from its neighbours
  void add(std::string_view key, int64_t value);
  // Neither needs escapes: names of our own.
  void add_name(std::string_view key, std::string_view value);
  void add_bool(std::string_view key, bool value);
  void begin_object(std::string_view key);
  void end_object() { text_ += '}'; }
  // The line with its end; valid until begin().
  std::string_view finish() { return text_ += "}\n"; }

 private:
  void key(std::string_view key);
  std::string text_;
};

}  // namespace ringmaster::train
