// SPDX-License-Identifier: Apache-2.0
// show: the configuration and its schema as YAML, JSON and text, and what makes two configurations the same run. Every
// output is a pure function of the configuration: keys stand in the order of the schema, floats in shortest round-trip
// form.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/load.h"
#include "config/schema.h"

namespace ringmaster::config {

// config.resolved.yaml: every key, defaults included; load() of it gives an equal Config.
std::string to_yaml(const Resolved& resolved);

// {schema: "ringmaster.config/1", key: {value, origin}, ...}
nlohmann::json show_json(const Resolved& resolved);
// The same as aligned columns, a blank line between sections.
std::string show_text(const Resolved& resolved);

// {schema: "ringmaster.config_schema/1", keys: [{key, type, default, range, unit, doc, ...}]}
nlohmann::json schema_json();
// A Markdown table a section.
std::string schema_text();

// Flat {key: value} of the keys whose effect is at most `widest`; load_json() reads it.
nlohmann::json to_json(const Config& config, Effect widest = Effect::numbers);

// SHA-256, lower-case hex, over the lines "key=value" of the keys that decide numbers or input: two runs with the same
// hash and the same data have the same weights, whatever their ranks, folder or logging.
std::string config_hash(const Config& config);

struct KeyDifference {
  std::string key;
  std::string a;  // as YAML
  std::string b;
};
// The keys of effect at most `widest` whose values differ, in schema order.
std::vector<KeyDifference> differences(const Config& a, const Config& b, Effect widest = Effect::input);

}  // namespace ringmaster::config
