// SPDX-License-Identifier: Apache-2.0
// gradient: reverse mode over the graph (Griewank and Walther 2008, ch. 3). Backward is plain nodes, so it has gradients itself.
#pragma once
#include <vector>

#include "ir/builder.h"

namespace ringmaster::ops {

// d sum(y * seed) / d x for each x, appended where the builder stands; the value is invalid where y does not depend on x.
// y, seed: same shape. Only nodes of the builder's current region are followed. Throws Error (config) at an op without gradient.
std::vector<ir::Tensor> gradient(ir::Tensor y, ir::Tensor seed, std::span<const ir::Tensor> xs);

// Replaces every fused op of the region by primitives; a program that differentiates twice does this first.
void decompose(ir::Builder& builder);

}  // namespace ringmaster::ops
