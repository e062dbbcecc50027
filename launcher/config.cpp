// SPDX-License-Identifier: Apache-2.0
// config, models, ops: what there is to set and to build with, as lists.
#include "config/show.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"
#include "models/models.h"
#include "ops/ops.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ringmaster::launcher {
namespace {

struct Entry {
  std::string_view name, doc;
};

int list(const Arguments& arguments, std::string_view kind, const std::vector<Entry>& entries) {
  if (arguments.has("--json")) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Entry& entry : entries) rows.push_back({{"name", entry.name}, {"doc", entry.doc}});
    print_json(nlohmann::json{{"schema", fmt::format("ringmaster.{}/1", kind)}, {std::string(kind), std::move(rows)}});
    return 0;
  }
  size_t width = 0;
  for (const Entry& entry : entries) width = std::max(width, entry.name.size());
  std::string text;
  for (const Entry& entry : entries) text += fmt::format("{:<{}}  {}\n", entry.name, width, entry.doc);
  print(text);
  return 0;
}

}  // namespace

int config_show(const Arguments& arguments) {
  const config::Resolved resolved = arguments.load_config();
  if (arguments.has("--json"))
    print_json(config::show_json(resolved));
  else
    print(config::show_text(resolved));
  return 0;
}

int config_schema(const Arguments& arguments) {
  if (arguments.has("--json"))
    print_json(config::schema_json());
  else
    print(config::schema_text());
  return 0;
}

int models(const Arguments& arguments) {
  std::vector<Entry> entries;
  for (const models::Entry& recipe : models::all()) entries.push_back({recipe.name, recipe.doc});
  return list(arguments, "models", entries);
}

int ops(const Arguments& arguments) {
  std::vector<Entry> entries;
  for (const ir::OpDef* op : ops::all()) entries.push_back({op->name, op->doc});
  return list(arguments, "ops", entries);
}

}  // namespace ringmaster::launcher
