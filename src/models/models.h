// SPDX-License-Identifier: Apache-2.0
// models: the table of contents of the zoo. One declaration and one line of all() a recipe.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "models/recipe.h"

namespace ringmaster::models {

std::unique_ptr<Recipe> language_model(const config::Config& config);
std::unique_ptr<Recipe> wasserstein(const config::Config& config);
std::unique_ptr<Recipe> wgan_gp(const config::Config& config);

struct Entry {
  const char* name;  // value of model.recipe
  const char* doc;   // one line
  std::unique_ptr<Recipe> (*make)(const config::Config&);
};
std::span<const Entry> all();  // the built-in ones, then the added ones
const Entry* find(const std::string& name);
// A recipe of an outside project. Throws Error (usage) if the name is taken. Before threads start; ends what all() returned.
void add(const Entry& entry);

}  // namespace ringmaster::models
