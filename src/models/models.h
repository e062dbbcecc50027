// SPDX-License-Identifier: Apache-2.0
// models: the table of contents of the zoo. One declaration and one line of all() a recipe.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "models/recipe.h"

namespace ringmaster::models {

std::unique_ptr<Recipe> language_model(const config::Config& config);

struct Entry {
  const char* name;  // value of model.recipe
  const char* doc;   // one line
  std::unique_ptr<Recipe> (*make)(const config::Config&);
};
std::span<const Entry> all();
const Entry* find(const std::string& name);

}  // namespace ringmaster::models
