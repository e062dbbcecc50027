// SPDX-License-Identifier: Apache-2.0
// optimizer: sgd, adam and adamw as graph builders. An update reads gradients, clips by the global norm, decides once whether
// the phase is committed, and writes every state behind that decision: a step that is not committed leaves all bits alone.
#pragma once
#include <string>
#include <vector>

#include "nn/module.h"

namespace ringmaster::nn {

enum class OptimizerKind { sgd, adam, adamw };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double momentum = 0.0;  // sgd
  bool nesterov = false;  // sgd
  double max_norm = 0.0;  // 0: no clipping
};

// One parameter with what its group says.
struct Tuned {
  const Parameter* parameter = nullptr;
  double lr_factor = 1.0;
  double weight_decay = 0.0;
};

// The states that the optimizer keeps beside one parameter, e.g. "<name>.first_moment" and "<name>.second_moment".
std::vector<ir::State> optimizer_states(const Parameter& parameter, const OptimizerOptions& options);

// Appends to the builder's (step) region. Reads scalars "lr" and "step" (1-based count of this update); `loss` is the phase's
// reported loss. Outputs "grad_norm" (before clipping) and "commit" (0: not finite, nothing was written).
void update(ir::Builder& builder, const std::vector<Tuned>& parameters, Tensor loss, const OptimizerOptions& options);

}  // namespace ringmaster::nn
