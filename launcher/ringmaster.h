// SPDX-License-Identifier: Apache-2.0
// ringmaster: the program as a function, for a project with recipes and ops of its own (docs/your-model.md). Installed as
// <ringmaster/ringmaster.h>, with ringmaster::ringmaster to link.
#pragma once
#include "models/models.h"
#include "nn/layers.h"
#include "ops/ops.h"
#include "ops/registry.h"

#include <vector>

namespace ringmaster {

// What a program has beyond the built-in recipes and ops. The pointers must live as long as the program.
struct Registry {
  std::vector<models::Entry> recipes;
  std::vector<const ir::OpDef*> ops;

  static Registry builtin() { return {}; }
};

// Refuses (kind usage) names that are taken, by a built-in or by another addition, and records that lack a part.
// Once, before the first recipe is made.
void add(const Registry& registry);

// All of `main`: ends the process with the exit code. Call it first thing: it also runs in every rank, which is this binary again.
[[noreturn]] int main(int argc, char** argv, const Registry& registry);

}  // namespace ringmaster
