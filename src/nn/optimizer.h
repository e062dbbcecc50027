// SPDX-License-Identifier: Apache-2.0
// optimizer: sgd, adam and adamw as graph builders. An update reads gradients, clips by the global norm, decides once whether
// the phase is committed, and writes every state behind that decision: a step that is not committed leaves all bits alone.
// Every parameter may have an update rule of its own.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nn/module.h"

namespace ringmaster::nn {

enum class OptimizerKind { sgd, adam, adamw };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double momentum = 0.0;    // sgd
  bool nesterov = false;    // sgd
  bool stochastic = false;  // moments in bf16, rounded stochastically
};

// A parameter that is trained, and how.
struct Tuned {
  const Parameter* parameter = nullptr;
  OptimizerOptions options = {};
  double lr_factor = 1.0;
  double weight_decay = 0.0;
  double weight_limit = 0.0;   // > 0: the weight is clamped to [-limit, limit]
  double average_decay = 0.0;  // > 0: an exponential moving average of the weight is kept
};

// The states kept beside one parameter, e.g. "<name>.first_moment" and "<name>.second_moment", and average_name(<name>).
std::vector<ir::State> update_states(const Tuned& tuned);
std::string average_name(const std::string& parameter);

// Dynamic loss scaling (ops/loss_scale.cpp): the state that one phase keeps, and its scale in the builder's region.
ir::State loss_scale_state(const std::string& phase);
Tensor loss_scale(ir::Builder& builder, const std::string& phase);

// Gradients in fixed point (ops/grids.cpp): what one phase keeps to decide their grids.
inline constexpr std::string_view gradient_maxima = ".gradient_maxima";  // the end of its name
ir::State gradient_maxima_state(const std::string& phase, int64_t num_gradients);
struct FixedPoint {
  std::string phase;
  int64_t num_grains = 1;  // of a step
};

struct UpdateOptions {
  double max_norm = 0.0;                   // the global gradient norm is clipped to this; 0: never
  std::optional<std::string> scaled = {};  // the phase whose loss_scale() the gradients were multiplied by
  std::optional<FixedPoint> fixed = {};    // none: gradients are added as floats
};
// Appends to the builder's (step) region. Reads scalars "lr" and "step" (1-based count of this update); `loss` is the phase's
// reported loss. Outputs "grad_norm" (before clipping, unscaled), "commit" (0: not finite, or a gradient did not fit its grid, and
// nothing but scale and maxima was written), "loss_scale" where gradients are scaled, and "fits" where they are in fixed point.
void update(ir::Builder& builder, const std::vector<Tuned>& parameters, Tensor loss, const UpdateOptions& options);

}  // namespace ringmaster::nn
