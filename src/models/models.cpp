// SPDX-License-Identifier: Apache-2.0
#include "models/models.h"

#include <vector>

#include "core/error.h"

namespace ringmaster::models {
namespace {

std::vector<Entry>& list() {
  static std::vector<Entry> entries{
      {"language_model", "next-token prediction with a decoder-only transformer (GPT-2)", language_model},
      {"wasserstein", "the Wasserstein-1 distance of two sets of points, by a critic", wasserstein},
      {"wgan_gp", "a generator of points against a critic with a gradient penalty (WGAN-GP)", wgan_gp},
  };
  return entries;
}

}  // namespace

std::span<const Entry> all() { return list(); }

const Entry* find(const std::string& name) {
  for (const Entry& entry : list())
    if (entry.name == name) return &entry;
  return nullptr;
}

void add(const Entry& entry) {
  CHECK(entry.name != nullptr && entry.doc != nullptr && entry.make != nullptr,
        "a recipe has a name, a doc and a make");
  if (const Entry* other = find(entry.name)) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("two recipes are called `{}`: \"{}\" is there already, \"{}\" was added",
                                        entry.name, other->doc, entry.doc),
                 .found = entry.name,
                 .expected = "a name that `models` does not list",
                 .cure = "rename the one in the Registry of this program's main()"});
  }
  list().push_back(entry);
}

}  // namespace ringmaster::models
