// SPDX-License-Identifier: Apache-2.0
// registry: how an outside project's op joins the list of ops.h.
#pragma once
#include "ir/op.h"

namespace ringmaster::ops {

// Throws Error (usage) if the name is taken. Before threads start; ends what all() returned.
void add(const ir::OpDef& op);

}  // namespace ringmaster::ops
