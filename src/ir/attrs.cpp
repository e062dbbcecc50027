// SPDX-License-Identifier: Apache-2.0
#include "ir/attrs.h"

#include "core/error.h"

namespace ringmaster::ir {

const Attrs::Items& Attrs::items() const {
  static const Items nothing;
  return items_ == nullptr ? nothing : *items_;
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [key, value] : items())
    if (key == name) return &value;
  return nullptr;
}

void Attrs::set(std::string_view name, AttrValue value) {
  if (items_ == nullptr || items_.use_count() > 1) items_ = std::make_shared<Items>(items());
  for (auto& [key, old] : *items_) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  items_->emplace_back(std::string(name), std::move(value));
}

void Attrs::missing(std::string_view name) {
  CHECK(false, "attribute `{}` is missing or has another type", name);
  std::abort();
}

namespace {
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos)
    text += ".0";  // an integer-looking double would parse as an integer
  return text;
}
}  // namespace

std::string str(const AttrValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&value)) return fmt::format("{}", *i);
  if (const auto* d = std::get_if<double>(&value)) return number(*d);
  if (const auto* s = std::get_if<std::string>(&value)) return quoted(*s);
  return fmt::format("[{}]", fmt::join(std::get<Ints>(value), ","));
}

}  // namespace ringmaster::ir
