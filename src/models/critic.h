// SPDX-License-Identifier: Apache-2.0
// critic: a function f whose slope is held near 1, so that mean f(x) - mean f(y) measures the Wasserstein-1 distance of x and y.
// Arjovsky et al. 2017, arXiv:1701.07875 (the dual form); Gulrajani et al. 2017, arXiv:1704.00028, equation 3 (the penalty).
#pragma once
#include "config/config.h"
#include "models/recipe.h"
#include "nn/layers.h"

namespace ringmaster::models {

//   B points, D dims
class Critic {
 public:
  Critic(const nn::Scope& scope, int64_t dims, const config::Model& c)
      : network_(scope, {.in = dims, .width = c.width, .layers = c.layers, .out = 1}) {}

  Tensor operator()(Tensor x_BD) const;  // [B]
  // (|grad f| - 1)^2 at a point drawn uniformly between each a and its b, t_B1 in [0, 1)
  Tensor penalty(Tensor a_BD, Tensor b_BD, Tensor t_B1) const;  // [B]

 private:
  nn::Mlp network_;
};

// What the critic minimises: mean f(from) - mean f(to) + model.gradient_penalty * mean penalty.
std::vector<Term> critic_loss(const Critic& critic, const Batch& batch, Tensor to_BD, Tensor from_BD,
                              const config::Model& c);

}  // namespace ringmaster::models
