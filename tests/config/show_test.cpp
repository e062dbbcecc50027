// SPDX-License-Identifier: Apache-2.0
// The schema covers the structs, what is shown reads back to the same configuration, the hash sees what it should.
#include "config/show.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "config/value.h"
#include "tests/config/files.h"

namespace ringmaster::config {
namespace {

struct AnyField {
  template <typename T> operator T() const;
};
// The number of fields of an aggregate: how many initialisers it takes.
template <typename T, typename... Fields> constexpr size_t field_count() {
  if constexpr (requires { T{Fields{}..., AnyField{}}; }) {
    return field_count<T, Fields..., AnyField>();
  } else {
    return sizeof...(Fields);
  }
}

TEST(ConfigSchema, HasARowForEveryField) {
  EXPECT_EQ(keys().size(), field_count<Model>() + field_count<Training>() + field_count<Precision>() +
                               field_count<ActivationCheckpoint>() + field_count<Optimizer>() + field_count<Ema>() +
                               field_count<LrScheduler>() + field_count<Data>() + field_count<Validation>() +
                               field_count<Checkpoint>() + field_count<Metrics>() + field_count<Comm>() +
                               field_count<Launch>() + field_count<Output>());
  EXPECT_EQ(sections().size(), field_count<Config>());
  EXPECT_EQ(group_keys().size(), field_count<OptimizerGroup>());
}

// A value of the key's type that is not its default; not necessarily a valid one.
Value other_value(const Key& key) {
  Value value = key.get(Config{});
  if (auto* b = std::get_if<bool>(&value)) *b = !*b;
  if (auto* i = std::get_if<int64_t>(&value)) *i += 1;
  if (auto* u = std::get_if<uint64_t>(&value)) *u += 1;
  if (auto* d = std::get_if<double>(&value)) *d += 0.125;
  if (auto* s = std::get_if<std::string>(&value)) *s += "x";
  if (auto* l = std::get_if<std::vector<std::string>>(&value)) l->push_back("x");
  if (auto* g = std::get_if<std::vector<OptimizerGroup>>(&value)) g->push_back({.match = "x"});
  return value;
}

TEST(ConfigSchema, EachRowReadsAndWritesItsOwnField) {
  std::set<std::string> names;
  for (const Key& key : keys()) {
    EXPECT_TRUE(names.insert(std::string(key.name)).second) << key.name;
    Config changed;
    key.set(changed, other_value(key));
    const auto found = differences(Config{}, changed, Effect::run);
    ASSERT_EQ(found.size(), 1U) << key.name;
    EXPECT_EQ(found[0].key, key.name);
    EXPECT_FALSE(key.doc.empty()) << key.name;
  }
}

TEST(ConfigSchema, DefaultsObeyTheirRules) {
  for (const Key& key : keys()) {
    if (!key.computed_default.empty() || key.rule.type >= Type::strings) continue;
    const Value value = key.get(Config{});
    const bool is_text = key.rule.type == Type::string;
    const Scalar scalar{is_text ? std::get<std::string>(value) : yaml_text(value, key.rule), is_text};
    EXPECT_EQ(parse_value(scalar, key.rule, {.key = std::string(key.name)}), value) << key.name;
  }
}

TEST(ConfigSchema, IsShownAsTableAndAsJson) {
  const auto json = schema_json();
  EXPECT_EQ(json.at("schema"), "ringmaster.config_schema/1");
  ASSERT_EQ(json.at("keys").size(), keys().size());
  EXPECT_EQ(json.at("keys").at(0).at("key"), "model.recipe");
  const std::string text = schema_text();
  for (const Key& key : keys()) EXPECT_TRUE(holds(text, std::string(key.name) + " |"));
  EXPECT_TRUE(holds(text, "| optimizer.lr | number >= 0 | 0.0003 |"));
  EXPECT_TRUE(holds(text, "sgd \\| adam \\| adamw"));
}

TEST_F(ConfigFile, ShowsValuesWithTheirOrigins) {
  const Resolved r = load_text("training:\n  steps: 5\n", {"optimizer.lr=0.5"});
  const auto json = show_json(r);
  EXPECT_EQ(json.size(), keys().size() + 1);
  EXPECT_EQ(json.at("training.steps"), (nlohmann::json{{"value", 5}, {"origin", r.file + ":2:3"}}));
  EXPECT_EQ(json.at("optimizer.lr"), (nlohmann::json{{"value", 0.5}, {"origin", "--set"}}));
  EXPECT_EQ(json.at("launch.threads_per_rank"), (nlohmann::json{{"value", "auto"}, {"origin", "default"}}));
  EXPECT_TRUE(holds(show_text(r), r.file + ":2:3\n"));
}

TEST_F(ConfigFile, ShowsWhichKeysHaveNoUse) {
  const std::string text = show_text(load_text("data:\n  source: generated\n"));
  const auto line_of = [&](const std::string& key) {
    const size_t begin = text.find("\n" + key + " ");
    return text.substr(begin, text.find('\n', begin + 1) - begin);
  };
  EXPECT_TRUE(line_of("model.heads").ends_with("default; used only where data.source is file")) << text;
  EXPECT_TRUE(line_of("data.set").ends_with("default")) << text;
}

TEST_F(ConfigFile, HashSeesWhatDecidesNumbersAndNothingElse) {
  const std::string base = config_hash(load_text("data:\n  path: a\n").config);
  EXPECT_EQ(base.size(), 64U);
  for (const Key& key : keys()) {
    Config changed = load_text("data:\n  path: a\n").config;
    Value value = key.get(changed);
    key.set(changed, other_value(key));
    if (key.get(changed) == value) continue;
    EXPECT_EQ(config_hash(changed) == base, key.effect == Effect::run) << key.name;
  }
}

TEST_F(ConfigFile, CheckpointsHoldNoPathsAndNothingOfTheMachine) {
  const auto json = to_json(load_text("data:\n  path: a\n").config);
  for (const auto& [name, value] : json.items()) {
    EXPECT_TRUE(name != "data.path" && name != "data.validation_path" && !name.starts_with("launch.") &&
                !name.starts_with("comm.") && !name.starts_with("output."))
        << name;
  }
  EXPECT_TRUE(json.contains("data.tokenizer"));
  EXPECT_TRUE(json.contains("lr_scheduler.decay_type"));
}

TEST(ConfigJson, BadValuesAreCheckpointErrors) {
  using nlohmann::json;
  const std::vector<std::pair<json, std::string>> bad = {{json::array(), "not a JSON object"},
                                                         {{{"model.zoo", 1}}, "unknown configuration key"},
                                                         {{{"model.layers", "2"}}, "the string `2`"},
                                                         {{{"model.layers", 2.0}}, "not a whole number"},
                                                         {{{"model.layers", nullptr}}, "`null`"},
                                                         {{{"model.layers", json::array({2})}}, "a list"},
                                                         {{{"optimizer.groups", {{{"lr_factor", 1}}}}}, "no `match`"}};
  for (const auto& [values, message] : bad) {
    const json copy = values;
    const ErrorInfo error = error_of([&] { load_json(copy, "config.json"); });
    EXPECT_EQ(error.kind, ErrorKind::checkpoint) << copy;
    EXPECT_EQ(error.file, "config.json");
    EXPECT_EQ(error.line, 0);
    EXPECT_TRUE(holds(error.message, message));
  }
}

TEST_F(ConfigFile, DifferencesNameBothValues) {
  const Config a = load_text("training:\n  steps: 5\n").config;
  const Config b = load_text("training:\n  steps: 6\nlaunch:\n  ranks: 2\nmodel:\n  recipe: \"a b\"\n").config;
  const auto found = differences(a, b);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].key, "model.recipe");
  EXPECT_EQ(found[0].b, "\"a b\"");
  EXPECT_EQ(found[1].key, "training.steps");
  EXPECT_EQ(found[1].a, "5");
  EXPECT_EQ(found[1].b, "6");
  EXPECT_EQ(differences(a, b, Effect::run).size(), 3U);
}

// ---- random configurations

using Random = std::mt19937_64;
int64_t pick(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

std::string random_text(Random& random) {
  static const std::vector<std::string> pieces = {
      "a", "no", "1", ".5", " ", "\n", "\t", ": ", " #",   "\"", "'",    "\\", "é",    "日本", "-", "{",
      "]", "*",  "&", "!",  "|", "\r", "~",  "%",  "\x7f", "0x", "\x1b", "/",  "null", "1e5",  ",", "\xC2\x85"};
  std::string text;
  for (int64_t n = pick(random, 1, 6); n > 0; --n) {
    text += pieces[static_cast<size_t>(pick(random, 0, static_cast<int64_t>(pieces.size()) - 1))];
  }
  return text;
}

double random_real(Random& random, const Range& range) {
  const double low = std::max(range.low, -1e6), high = std::min(range.high, 1e6);
  const double unit = static_cast<double>(random() >> 12) * 0x1p-52 + 0x1p-53;  // never an end of the range
  return low + (high - low) * unit * std::pow(10.0, static_cast<double>(-pick(random, 0, 12)));
}

Value random_value(Random& random, const Rule& rule) {
  switch (rule.type) {
    case Type::boolean: return random() % 2 == 0;
    case Type::integer:
      return pick(random, static_cast<int64_t>(rule.range.low), static_cast<int64_t>(std::min(rule.range.high, 1e6)));
    case Type::unsigned_integer: return static_cast<uint64_t>(random());
    case Type::real: return random_real(random, rule.range);
    case Type::string:
      if (rule.is_budget) return random() % 2 == 0 ? std::string("3GiB") : fmt::format("{}%", 1 + random() % 100);
      if (rule.choices.empty()) return random_text(random);
      return std::string(rule.choices[static_cast<size_t>(random()) % rule.choices.size()]);
    case Type::strings: {
      std::vector<std::string> list;
      for (int64_t n = pick(random, 0, 3); n > 0; --n) list.push_back(random_text(random));
      return list;
    }
    case Type::groups: break;
  }
  std::vector<OptimizerGroup> groups;
  for (int64_t n = pick(random, 0, 3); n > 0; --n) {
    groups.push_back({.match = pick(random, 0, 1) == 0 ? "bias$" : "(a|b)\\.[0-9]+: #"});
    OptimizerGroup& group = groups.back();
    group.frozen = random() % 4 == 0;
    if (group.frozen) continue;
    group.lr_factor = random_real(random, {.low = 0});
    if (random() % 2 == 0) group.weight_decay = random_real(random, {.low = 0});
    if (random() % 2 == 0) {
      group.name = "adam";
      group.beta1 = random_real(random, {.low = 0, .high = 1});
    }
  }
  return groups;
}

// Every key at random, then the contradictions removed.
Config random_config(Random& random) {
  Config config;
  for (const Key& key : keys()) key.set(config, random_value(random, key.rule));
  for (const Key& key : keys()) {
    if (!key.applies(config)) key.set(config, key.get(Config{}));
  }
  config.model.width = config.model.heads * pick(random, 1, 10);
  if (config.data.source == "file") config.model.vocab_size += 256;
  config.training.grain_size =
      std::min<int64_t>(config.training.grain_size, (1LL << 31) / config.training.seq_len / 2 + 1);
  config.training.global_batch_size = config.training.grain_size * pick(random, 1, 10);
  if (random() % 2 == 0) config.launch.threads_per_rank = 0;
  return config;
}

TEST_F(ConfigFile, ResolvedYamlAndJsonReadBackToTheSameConfig) {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    Resolved r{.config = random_config(random), .file = "random.yaml"};
    for (const Key& key : keys()) r.origin[std::string(key.name)] = {};
    const std::string yaml = to_yaml(r);
    const Resolved again = load_text(yaml);
    ASSERT_EQ(again.config, r.config) << yaml;
    ASSERT_EQ(to_yaml(again), yaml);
    const auto json = nlohmann::json::parse(to_json(r.config, Effect::run).dump());
    ASSERT_EQ(load_json(json, "config.json").config, r.config) << json;
    ASSERT_EQ(config_hash(again.config), config_hash(r.config));
  }
}

// ---- mutated files: an error of kind config or a good configuration, nothing else

std::string mutated(Random& random, std::string text) {
  static const std::vector<std::string> pieces = {":",    "\n",    "  ",    "- ",          "#",    "\"", "'",
                                                  "[",    "]",     "{",     "}",           "&a ",  "*a", "!!str ",
                                                  "<<: ", "---\n", "...\n", "~",           "null", "\t", "\xEF\xBB\xBF",
                                                  "\xFF", "|",     ">",     "%YAML 1.2\n", "? ",   ",",  "1e400",
                                                  ".nan", "010",   "no",    "\\",          "((((", "é"};
  for (int64_t n = pick(random, 1, 4); n > 0; --n) {
    const auto at = static_cast<size_t>(pick(random, 0, static_cast<int64_t>(text.size())));
    const auto length = static_cast<size_t>(pick(random, 1, 12));
    switch (random() % 4) {
      case 0: text.insert(at, pieces[static_cast<size_t>(random()) % pieces.size()]); break;
      case 1: text.erase(at, length); break;
      case 2: text.insert(at, text.substr(static_cast<size_t>(random()) % (text.size() + 1), 4 * length)); break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(random() % 256);
    }
  }
  return text;
}

TEST_F(ConfigFile, MutatedFilesGiveErrorsAndNeverCrash) {
  Random random(2);
  const std::string base =
      "model:\n  layers: 6\n  width: 384\n  heads: 6\n  recipe: \"language_model\"\ntraining: {steps: 100, seq_len: "
      "64}\n"
      "optimizer:\n  lr: 1e-3  # peak\n  groups:\n    - match: \"bias$\"\n      weight_decay: 0\n"
      "    - {match: 'head', lr_factor: 0.5}\ndata:\n  path: [a.txt, \"b c.txt\"]\n";
  int good = 0, bad = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = mutated(random, base);
    try {
      const Resolved r = load_text(text);
      ASSERT_EQ(load_text(to_yaml(r)).config, r.config) << text;
      ++good;
    } catch (const Error& e) {
      ASSERT_EQ(e.info().kind, ErrorKind::config) << text << "\n" << e.info().message;
      ASSERT_FALSE(e.info().message.empty());
      ++bad;
    }
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 1000);
}

}  // namespace
}  // namespace ringmaster::config
