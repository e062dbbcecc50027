// SPDX-License-Identifier: Apache-2.0
// attrs: the compile-time parameters of a node, as (name, value) pairs in the order in which the op declares them. One
// generic container, so that equality, printing and parsing can not forget a field.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ringmaster::ir {

using Ints = std::vector<int64_t>;
using AttrValue = std::variant<bool, int64_t, double, std::string, Ints>;

class Attrs {
 public:
  using Items = std::vector<std::pair<std::string, AttrValue>>;
  Attrs() = default;
  Attrs(std::initializer_list<Items::value_type> items) : items_(std::make_shared<Items>(items)) {}

  const AttrValue* find(std::string_view name) const;
  bool flag(std::string_view name) const { return get<bool>(name); }
  int64_t integer(std::string_view name) const { return get<int64_t>(name); }
  double number(std::string_view name) const { return get<double>(name); }
  const std::string& text(std::string_view name) const { return get<std::string>(name); }
  const Ints& ints(std::string_view name) const { return get<Ints>(name); }
  void set(std::string_view name, AttrValue value);

  const Items& items() const;
  bool operator==(const Attrs& other) const { return items_ == other.items_ || items() == other.items(); }

 private:
  template <typename T> const T& get(std::string_view name) const {
    const AttrValue* value = find(name);
    if (value == nullptr || !std::holds_alternative<T>(*value)) missing(name);
    return std::get<T>(*value);
  }
  [[noreturn]] static void missing(std::string_view name);

  std::shared_ptr<Items> items_;  // copies share it until one of them is changed; null: none
};

// One attribute that an op takes. The index of `initial` in AttrValue is the attribute's type.
struct AttrSpec {
  const char* name;
  AttrValue initial;  // the default, or a value of the right type if `required`
  bool required = false;
  const char* doc = "";
};

std::string str(
    const AttrValue& value);  // true | 3 | 1e-05 | "text" | [1,2]; doubles always show a point or an exponent

}  // namespace ringmaster::ir
