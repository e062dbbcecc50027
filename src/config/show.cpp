// SPDX-License-Identifier: Apache-2.0
#include "config/show.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "config/value.h"

namespace ringmaster::config {
namespace {

using nlohmann::json;

std::string text_of(const Key& key, const Config& config) { return yaml_text(key.get(config), key.rule); }

std::string default_text(const Key& key) {
  return key.computed_default.empty() ? text_of(key, Config{}) : std::string(key.computed_default);
}

void pad(std::string& line, size_t width) { line.append(width > line.size() ? width - line.size() : 0, ' '); }

}  // namespace

std::string to_yaml(const Resolved& r) {
  std::string out;
  std::string_view section;
  for (const Key& k : keys()) {
    if (k.section() != section) {
      section = k.section();
      out += fmt::format("{}:\n", section);
    }
    out += fmt::format("  {}: {}", k.leaf(), text_of(k, r.config));
    if (!k.applies(r.config)) out += fmt::format("  # used only where {}", k.applies_if.text);
    out += '\n';
  }
  return out;
}

json show_json(const Resolved& r) {
  json out = {{"schema", "ringmaster.config/1"}};
  for (const Key& k : keys()) {
    out[std::string(k.name)] = {{"value", json_value(k.get(r.config), k.rule)}, {"origin", str(r.origin_of(k.name))}};
  }
  return out;
}

std::string show_text(const Resolved& r) {
  size_t name_width = 0, value_width = 0;
  constexpr size_t widest = 40;  // a longer value pushes its own origin aside, not everybody's
  for (const Key& k : keys()) {
    name_width = std::max(name_width, k.name.size());
    value_width = std::max(value_width, std::min(widest, text_of(k, r.config).size()));
  }
  std::string out;
  std::string_view section;
  for (const Key& k : keys()) {
    if (!section.empty() && section != k.section()) out += '\n';
    section = k.section();
    std::string line(k.name);
    pad(line, name_width + 2);
    line += text_of(k, r.config);
    pad(line, name_width + 2 + value_width);
    out += fmt::format("{}  {}", line, str(r.origin_of(k.name)));
    if (!k.applies(r.config)) out += fmt::format("; used only where {}", k.applies_if.text);
    out += '\n';
  }
  return out;
}

json schema_json() {
  json rows = json::array();
  const auto or_null = [](std::string_view text) { return text.empty() ? json(nullptr) : json(text); };
  for (const Key& k : keys()) {
    rows.push_back({{"key", k.name},
                    {"type", type_text(k.rule)},
                    {"default", k.computed_default.empty() ? json_value(k.get(Config{}), k.rule) : json(nullptr)},
                    {"computed_default", or_null(k.computed_default)},
                    {"range", or_null(range_text(k.rule))},
                    {"choices", k.rule.choices},
                    {"unit", or_null(k.unit)},
                    {"applies_if", or_null(k.applies_if.text)},
                    {"doc", k.doc}});
  }
  return {{"schema", "ringmaster.config_schema/1"}, {"keys", std::move(rows)}};
}

std::string schema_text() {
  std::string out;
  std::string_view section;
  const auto cell = [](std::string text) {  // a bar would end the cell
    for (size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
    return text;
  };
  for (const Key& k : keys()) {
    if (k.section() != section) {
      out += fmt::format("{}### {}\n\n| key | type | default | unit | meaning |\n| --- | --- | --- | --- | --- |\n",
                         section.empty() ? "" : "\n", k.section());
      section = k.section();
    }
    std::string type = type_text(k.rule);
    if (const std::string range = range_text(k.rule); !range.empty()) type += " " + range;
    std::string doc(k.doc);
    if (!k.applies_if.text.empty()) doc += fmt::format("; only where {}", k.applies_if.text);
    out += fmt::format("| {} | {} | {} | {} | {} |\n", k.name, cell(type), cell(default_text(k)), k.unit, cell(doc));
  }
  return out;
}

json to_json(const Config& config, Effect widest) {
  json out = json::object();
  for (const Key& k : keys()) {
    if (k.effect <= widest) out[std::string(k.name)] = json_value(k.get(config), k.rule);
  }
  return out;
}

std::string config_hash(const Config& config) {
  std::string lines;
  for (const Key& k : keys()) {
    if (k.effect <= Effect::input) lines += fmt::format("{}={}\n", k.name, text_of(k, config));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const int ok = EVP_Digest(lines.data(), lines.size(), digest.data(), &size, EVP_sha256(), nullptr);
  CHECK(ok == 1, "SHA-256 is not available in libcrypto");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::vector<KeyDifference> differences(const Config& a, const Config& b, Effect widest) {
  std::vector<KeyDifference> out;
  for (const Key& k : keys()) {
    if (k.effect > widest || k.get(a) == k.get(b)) continue;
    out.push_back({std::string(k.name), text_of(k, a), text_of(k, b)});
  }
  return out;
}

}  // namespace ringmaster::config
