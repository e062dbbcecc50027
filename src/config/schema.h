// SPDX-License-Identifier: Apache-2.0
// schema: the one table of configuration keys. Loading, --set, showing, resolving and spelling hints all run off it, so
// that a new key is one field in config.h and one row in schema.cpp.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace ringmaster::config {

// The value of a key. Its alternatives stand in the order of Type.
using Value =
    std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<std::string>, std::vector<OptimizerGroup>>;
enum class Type : uint8_t { boolean, integer, unsigned_integer, real, string, strings, groups };

// low <= x <= high; an open end is excluded.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;
  bool open_high = false;
};

// What a key decides; each value includes the ones before it.
//   numbers  the bits of the weights (a checkpoint stores these)
//   input    the bits too, but by naming a place on this machine (the config hash and a resume look at these)
//   run      where and how it runs, what is saved and shown
enum class Effect : uint8_t { numbers, input, run };

// What a value must be.
struct Rule {
  Type type = Type::integer;
  Range range = {};
  std::vector<std::string_view> choices = {};  // of a string; empty = any
  std::string_view word_for_zero = {};         // integers: written in place of 0, which is then not a valid number
  bool may_be_empty = false;                   // strings and lists
  bool is_bytes = false;                       // integers: accepts KiB MiB GiB (1024) and KB MB GB (1000)
  bool is_regex = false;
  bool is_budget = false;  // strings: a byte size, or a percentage
};

// A key that has no meaning in some configurations.
struct Condition {
  std::string_view text = {};  // "optimizer.name is sgd"; empty = always
  bool (*holds)(const Config&) = nullptr;
};

struct Key {
  std::string_view name;  // "section.key"
  Value (*get)(const Config&) = nullptr;
  void (*set)(Config&, Value) = nullptr;
  Rule rule;
  std::string_view unit = {};
  std::string_view computed_default = {};  // says how resolve() computes the default; empty = the struct's default
  Effect effect = Effect::numbers;
  Condition applies_if = {};
  std::vector<std::string_view> other_names = {};  // what other programs call it: for hints only, never accepted
  std::string_view doc = {};

  std::string_view section() const { return name.substr(0, name.find('.')); }
  std::string_view leaf() const { return name.substr(name.find('.') + 1); }
  bool applies(const Config& c) const { return applies_if.holds == nullptr || applies_if.holds(c); }
};

// A key of one element of optimizer.groups; `get` is empty where an optional field is absent.
struct GroupKey {
  std::string_view name;
  std::optional<Value> (*get)(const OptimizerGroup&) = nullptr;
  void (*set)(OptimizerGroup&, Value) = nullptr;
  Rule rule;
  bool required = false;
  std::string_view doc = {};
};

std::span<const Key> keys();  // in the order of config.h
std::span<const GroupKey> group_keys();
const Key* find_key(std::string_view name);  // nullptr if unknown
const Key& key_of(std::string_view name);    // CHECKs that it exists
std::vector<std::string_view> sections();
bool is_section(std::string_view name);

// The full name of the key that was probably meant by `leaf` inside `section` (either may be misspelt or empty), or "".
std::string suggest(std::string_view section, std::string_view leaf);

// "an integer >= 1", "one of: sgd, adam, adamw", ...
std::string expectation(const Rule& rule);
// "integer", "number", "true | false", "sgd | adam | adamw", ...
std::string type_text(const Rule& rule);
// ">= 1", "[0, 1)", "1..4096", or "" where every value is good
std::string range_text(const Rule& rule);

}  // namespace ringmaster::config
