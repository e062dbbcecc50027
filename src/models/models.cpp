// SPDX-License-Identifier: Apache-2.0
#include "models/models.h"

namespace ringmaster::models {
namespace {
constexpr Entry list[] = {
    {"language_model", "next-token prediction with a decoder-only transformer (GPT-2)", language_model},
};
}  // namespace

std::span<const Entry> all() { return list; }

const Entry* find(const std::string& name) {
  for (const Entry& entry : list)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace ringmaster::models
