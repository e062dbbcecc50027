// SPDX-License-Identifier: Apache-2.0
// gradient: reverse mode over the graph (Griewank and Walther 2008, ch. 3). Backward is plain nodes, so it has gradients itself.
#pragma once
#include <vector>

#include "ir/builder.h"

namespace ringmaster::ops {

// d sum(y * seed) / d x for each x, appended where the builder stands; the value is invalid where y does not depend on x.
// y, seed: same shape. Only nodes of the builder's current region are followed. An op that has only `decompose` is differentiated
// as its primitives, built where backward stands. Throws Error (config) at an op that has neither.
std::vector<ir::Tensor> gradient(ir::Tensor y, ir::Tensor seed, std::span<const ir::Tensor> xs);

// d y / d x of a scalar y, like x, for a loss that holds a slope (Gulrajani et al. 2017, arXiv:1704.00028): called while tracing,
// in the region of y and x, and differentiated again as the nodes that it is. Throws Error (config) where y does not depend on x.
ir::Tensor gradient(ir::Tensor y, ir::Tensor x);

// Replaces every fused op of the region by primitives.
void decompose(ir::Builder& builder);

}  // namespace ringmaster::ops
