// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "config/schema.h"
#include "config/source.h"
#include "config/value.h"
#include "config/yaml.h"
#include "core/program.h"

namespace ringmaster::config {
namespace {

std::vector<std::string_view> leaves(std::string_view section) {
  std::vector<std::string_view> names;
  for (const Key& k : keys()) {
    if (k.section() == section) names.push_back(k.leaf());
  }
  return names;
}

// "did you mean `lr`?", with the section where it is another one.
std::string did_you_mean(std::string_view section, std::string_view leaf) {
  const std::string name = suggest(section, leaf);
  if (name.empty()) return "";
  const Key& key = key_of(name);
  return fmt::format("did you mean `{}`?", key.section() == section ? key.leaf() : key.name);
}

Resolved defaults(std::string file) {
  Resolved r{.file = std::move(file)};
  for (const Key& k : keys()) r.origin[std::string(k.name)] = Origin{};
  return r;
}

Value parse_list(const Node& node, const Key& key, const Source& source) {
  std::vector<std::string> values;
  const Rule one{.type = Type::string};
  const auto add = [&](const Node& item, std::string name) {
    const ErrorInfo place = source.at(item.line, item.column, std::move(name));
    if (item.kind != Node::Kind::scalar) {
      refuse(place, {.message = fmt::format("`{}` is {}", place.key, describe(item)),
                     .found = describe(item),
                     .expected = expectation(one)});
    }
    values.push_back(std::get<std::string>(parse_value({item.text, item.quoted}, one, place)));
  };
  if (node.kind == Node::Kind::scalar) add(node, std::string(key.name));
  for (size_t i = 0; i < node.items.size(); ++i) add(node.items[i], fmt::format("{}[{}]", key.name, i));
  return values;
}

// One section of optimizer.groups.
OptimizerGroup parse_group(const Node& node, const std::string& name, const Source& source) {
  const ErrorInfo place = source.at(node.line, node.column, name);
  std::vector<std::string_view> names;
  for (const GroupKey& k : group_keys()) names.push_back(k.name);
  if (node.kind != Node::Kind::map) {
    refuse(place, {.message = fmt::format("`{}` is {}", name, describe(node)),
                   .found = describe(node),
                   .expected = fmt::format("a section {{{}}}", fmt::join(names, ", "))});
  }
  OptimizerGroup group;
  std::set<std::string> seen;
  for (size_t i = 0; i < node.items.size(); i += 2) {
    const Node &field = node.items[i], &value = node.items[i + 1];
    const std::string full = fmt::format("{}.{}", name, field.text);
    const ErrorInfo field_place = source.at(field.line, field.column, full);
    const auto key = std::ranges::find(group_keys(), field.text, &GroupKey::name);
    if (key == group_keys().end()) {
      const std::string meant = nearest(field.text, names);
      refuse(field_place, {.message = fmt::format("unknown key `{}`", full),
                           .found = field.text,
                           .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
                           .cure = meant.empty() ? "" : fmt::format("did you mean `{}`?", meant)});
    }
    if (!seen.insert(field.text).second) {
      refuse(field_place,
             {.message = fmt::format("`{}` is given twice", full), .found = "a duplicate key", .cure = "keep one"});
    }
    const ErrorInfo value_place = source.at(value.line, value.column, full);
    if (value.kind != Node::Kind::scalar) {
      refuse(value_place, {.message = fmt::format("`{}` is {}", full, describe(value)),
                           .found = describe(value),
                           .expected = expectation(key->rule)});
    }
    key->set(group, parse_value({value.text, value.quoted}, key->rule, value_place));
  }
  for (const GroupKey& k : group_keys()) {
    if (k.required && !seen.contains(std::string(k.name))) {
      refuse(place, {.message = fmt::format("`{}` has no `{}`", name, k.name),
                     .expected = expectation(k.rule),
                     .cure = fmt::format("add `{}: ...`", k.name)});
    }
  }
  return group;
}

Value parse_groups(const Node& node, const Key& key, const Source& source) {
  std::vector<OptimizerGroup> groups;
  for (size_t i = 0; i < node.items.size(); ++i) {
    groups.push_back(parse_group(node.items[i], fmt::format("{}[{}]", key.name, i), source));
  }
  return groups;
}

Value parse_node(const Node& node, const Key& key, const Source& source) {
  const ErrorInfo place = source.at(node.line, node.column, std::string(key.name));
  const bool list_ok = key.rule.type == Type::strings || key.rule.type == Type::groups;
  const bool scalar_ok = key.rule.type != Type::groups;
  if (node.kind == Node::Kind::map || (node.kind == Node::Kind::list ? !list_ok : !scalar_ok)) {
    refuse(place, {.message = fmt::format("`{}` is {}", key.name, describe(node)),
                   .found = describe(node),
                   .expected = expectation(key.rule)});
  }
  if (key.rule.type == Type::strings) return parse_list(node, key, source);
  if (key.rule.type == Type::groups) return parse_groups(node, key, source);
  return parse_value({node.text, node.quoted}, key.rule, place);
}

[[noreturn]] void refuse_section(const Node& name, const Source& source) {
  const size_t dot = name.text.find('.');
  const ErrorInfo place = source.at(name.line, name.column, name.text);
  std::string cure;
  if (const Key* key = find_key(name.text)) {
    cure = fmt::format("write `{}:` under a line `{}:`", key->leaf(), key->section());
  } else if (std::ranges::find(keys(), name.text, &Key::leaf) != keys().end()) {
    cure = did_you_mean("", name.text);
  } else if (const std::string section = nearest(name.text, sections()); !section.empty()) {
    cure = fmt::format("did you mean `{}`?", section);
  } else {
    cure = dot == std::string::npos ? did_you_mean("", name.text)
                                    : did_you_mean(name.text.substr(0, dot), name.text.substr(dot + 1));
  }
  refuse(place, {.message = fmt::format("unknown section {}", quote(name.text)),
                 .found = name.text,
                 .expected = fmt::format("one of: {}", fmt::join(sections(), ", ")),
                 .cure = cure});
}

[[noreturn]] void refuse_key(std::string_view section, const std::string& leaf, const ErrorInfo& place) {
  std::string cure = did_you_mean(section, leaf);
  if (const size_t colon = leaf.find(':'); colon != std::string::npos) {
    cure = fmt::format("put a space after the colon: `{}: {}`", leaf.substr(0, colon), leaf.substr(colon + 1));
  }
  refuse(place, {.message = fmt::format("unknown key {}", quote(place.key)),
                 .found = leaf,
                 .expected = fmt::format("one of: {}", fmt::join(leaves(section), ", ")),
                 .cure = cure});
}

[[noreturn]] void refuse_duplicate(const std::string& what, const ErrorInfo& place, const std::string& first) {
  refuse(place, {.message = fmt::format("`{}` is given twice, first at {}", what, first),
                 .found = "a duplicate",
                 .expected = "each key once",
                 .cure = "keep one"});
}

void read_section(const Node& name, const Node& body, const Source& source, Resolved& r) {
  const std::string& section = name.text;
  if (body.kind != Node::Kind::map) {
    refuse(source.at(body.line, body.column, section),
           {.message = fmt::format("`{}` is {}", section, describe(body)),
            .found = describe(body),
            .expected = fmt::format("a section with keys: {}", fmt::join(leaves(section), ", ")),
            .cure = body.text.find(':') != std::string::npos ? "put a space after the colon"
                                                             : "write its keys on indented lines below it"});
  }
  for (size_t i = 0; i < body.items.size(); i += 2) {
    const Node& leaf = body.items[i];
    const std::string full = fmt::format("{}.{}", section, leaf.text);
    const ErrorInfo place = source.at(leaf.line, leaf.column, full);
    const Key* key = find_key(full);
    if (key == nullptr) refuse_key(section, leaf.text, place);
    Origin& origin = r.origin.at(full);
    if (origin.given()) refuse_duplicate(full, place, str(origin));
    key->set(r.config, parse_node(body.items[i + 1], *key, source));
    origin = {.source = source.file, .line = leaf.line, .column = leaf.column, .excerpt = place.excerpt};
  }
}

void read_file(const Source& source, Resolved& r) {
  const Node root = parse_yaml(source);
  if (root.kind != Node::Kind::map || root.flow) {
    refuse(source.at(root.line, root.column),
           {.message = fmt::format("the file holds {}, not sections", describe(root)),
            .found = describe(root),
            .expected = "lines of `section:`, then indented lines of `key: value`"});
  }
  std::map<std::string, std::string> seen;  // section -> where
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Node& name = root.items[i];
    if (!is_section(name.text)) refuse_section(name, source);
    const std::string where = fmt::format("{}:{}:{}", source.file, name.line, name.column);
    const auto [first, is_new] = seen.emplace(name.text, where);
    if (!is_new) refuse_duplicate(name.text, source.at(name.line, name.column, name.text), first->second);
    read_section(name, root.items[i + 1], source, r);
  }
}

// The key that --set names.
const Key& key_of_set(const std::string& name, const ErrorInfo& place) {
  if (const Key* key = find_key(name)) return *key;
  if (is_section(name)) {
    refuse(place, {.message = fmt::format("`{}` is a section, not a key", name),
                   .found = name,
                   .expected = fmt::format("one of: {}.{{{}}}", name, fmt::join(leaves(name), ",")),
                   .cure = fmt::format("set one key, such as {}.{}", name, leaves(name).front())});
  }
  const size_t dot = std::min(name.find('.'), name.size());
  const std::string meant = dot < name.size() ? suggest(name.substr(0, dot), name.substr(dot + 1)) : suggest("", name);
  refuse(place, {.message = fmt::format("unknown key {}", quote(name)),
                 .found = name,
                 .expected = fmt::format("a key of `{} config schema`", program_name()),
                 .cure = meant.empty() ? "" : fmt::format("did you mean `{}`?", meant)});
}

void claim(const Key& key, const std::string& flag, std::map<std::string_view, std::string>& taken,
           const ErrorInfo& place) {
  const auto [first, is_new] = taken.emplace(key.name, flag);
  if (is_new) return;
  refuse(place, {.message = fmt::format("`{}` is given twice on the command line: {} and {}", key.name,
                                        quote(first->second), quote(flag)),
                 .found = "a duplicate",
                 .expected = "each key once",
                 .cure = "keep one"});
}

// The value after `=` must be one YAML scalar, and an unquoted one must mean what it says: no comment, no folded lines.
Node parse_set_value(const Key& key, const Source& source, const ErrorInfo& usage) {
  if (key.rule.type == Type::groups) {
    refuse(usage, {.message = fmt::format("`{}` is a list of sections and cannot be given by --set", key.name),
                   .cure = "write it into the configuration file"});
  }
  const Node node = parse_yaml(source);
  if (node.kind != Node::Kind::scalar) {
    refuse(usage,
           {.message = fmt::format("`{}` is {}, not a single value", key.name, describe(node)),
            .found = describe(node),
            .expected = "a single value",
            .cure = node.kind == Node::Kind::list ? "a list goes into the configuration file; --set takes one value"
                                                  : "put text with special characters into double quotes"});
  }
  const size_t begin = std::min(source.text.find_first_not_of(' '), source.text.size());
  const size_t end = source.text.find_last_not_of(' ') + 1;
  if (!node.quoted && source.text.substr(begin, end - begin) != node.text) {
    refuse(usage, {.message = fmt::format("`{}` is {}, which YAML reads as {}", key.name, quote(source.text),
                                          quote(node.text)),
                   .found = source.text,
                   .expected = "a single value",
                   .cure = "put it into double quotes, for YAML and for the shell"});
  }
  return node;
}

void apply_set(const std::string& set, std::map<std::string_view, std::string>& taken, Resolved& r) {
  const size_t equals = set.find('=');
  const std::string name = set.substr(0, equals);
  Source source{.flag = "--set " + set};
  ErrorInfo usage = source.at(0, 0, name);
  usage.kind = ErrorKind::usage;
  if (equals == std::string::npos || equals == 0) {
    usage.key = equals == 0 ? "" : name;
    refuse(usage, {.message = fmt::format("{} is not KEY=VALUE", quote(source.flag)),
                   .found = set,
                   .expected = "--set KEY=VALUE, such as --set training.steps=100"});
  }
  const Key& key = key_of_set(name, source.at(0, 0, name));
  claim(key, source.flag, taken, usage);
  source.text = set.substr(equals + 1);
  const Node value = parse_set_value(key, source, usage);
  key.set(r.config, parse_node(value, key, source));
  r.origin.at(name) = {.source = "--set", .excerpt = usage.excerpt};
}

void apply_flag(const Flag& flag, std::map<std::string_view, std::string>& taken, Resolved& r) {
  const Key& key = key_of(flag.key);
  const std::string words = fmt::format("{} {}", flag.flag, flag.value);
  const Source source{.flag = words, .kind = ErrorKind::usage, .key = flag.flag};
  claim(key, words, taken, source.at(0, 0));
  const bool is_text = key.rule.type == Type::string || key.rule.type == Type::strings;
  key.set(r.config, parse_node({.quoted = is_text, .text = flag.value}, key, source));
  r.origin.at(flag.key) = {.source = flag.flag, .excerpt = source.at(0, 0).excerpt};
}

Resolved finish(Resolved r, const std::vector<std::string>& sets, const std::vector<Flag>& flags) {
  std::map<std::string_view, std::string> taken;  // key -> the words that gave it
  for (const std::string& set : sets) apply_set(set, taken, r);
  for (const Flag& flag : flags) apply_flag(flag, taken, r);
  resolve(r);
  return r;
}

// JSON as the tree that YAML would give, so that one set of rules reads both.
Node node_of(const nlohmann::json& json) {
  Node node{.line = 0, .column = 0};
  if (json.is_string()) {
    node.quoted = true;
    node.text = json.get<std::string>();
    return node;
  }
  if (json.is_array()) {
    node.kind = Node::Kind::list;
    for (const auto& item : json) node.items.push_back(node_of(item));
  } else if (json.is_object()) {
    node.kind = Node::Kind::map;
    for (const auto& [name, value] : json.items()) {
      node.items.push_back({.line = 0, .column = 0, .text = name});
      node.items.push_back(node_of(value));
    }
  } else {
    node.text = json.dump();
  }
  return node;
}

}  // namespace

Resolved load(const std::string& path, const std::vector<std::string>& sets, const std::vector<Flag>& flags) {
  Resolved r = defaults(path);
  read_file(read_source(path), r);
  return finish(std::move(r), sets, flags);
}

Resolved load_json(const nlohmann::json& values, const std::string& file, const std::vector<std::string>& sets,
                   const std::vector<Flag>& flags) {
  Resolved r = defaults(file);
  const Source source{.file = file, .kind = ErrorKind::checkpoint};
  if (!values.is_object()) {
    refuse(source.at(0, 0),
           {.message = "the configuration is not a JSON object", .expected = "an object {key: value}"});
  }
  for (const auto& [name, value] : values.items()) {
    const Key* key = find_key(name);
    if (key == nullptr) {
      refuse(source.at(0, 0, name), {.message = fmt::format("unknown configuration key {}", quote(name)),
                                     .found = name,
                                     .cure = "was it written by a newer ringmaster?"});
    }
    key->set(r.config, parse_node(node_of(value), *key, source));
    r.origin.at(name) = {.source = file};
  }
  return finish(std::move(r), sets, flags);
}

}  // namespace ringmaster::config
