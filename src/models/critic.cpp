// SPDX-License-Identifier: Apache-2.0
#include "models/critic.h"

#include "ops/gradient.h"
#include "ops/ops.h"

namespace ringmaster::models {

using namespace ops;

Tensor Critic::operator()(Tensor x_BD) const { return reshape(network_(x_BD), {x_BD.dim(0)}); }

Tensor Critic::penalty(Tensor a_BD, Tensor b_BD, Tensor t_B1) const {
  const ir::ScopeGuard scope(a_BD.builder(), "penalty");
  const Tensor mixed_BD = lerp(a_BD, b_BD, t_B1);
  const Tensor slope_B = norm_last(ops::gradient(sum((*this)(mixed_BD)), mixed_BD), 1e-12);
  return square(slope_B - 1.0);
}

std::vector<Term> critic_loss(const Critic& critic, const Batch& batch, Tensor to_BD, Tensor from_BD,
                              const config::Model& c) {
  std::vector<Term> terms{mean_term(critic(from_BD) - critic(to_BD))};
  if (c.gradient_penalty > 0)
    terms.push_back(mean_term(critic.penalty(to_BD, from_BD, batch.uniform("mix", {1})), c.gradient_penalty));
  return terms;
}

}  // namespace ringmaster::models
