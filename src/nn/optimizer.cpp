// SPDX-License-Identifier: Apache-2.0
#include "nn/optimizer.h"

#include "core/error.h"
#include "ops/ops.h"

namespace ringmaster::nn {
namespace {

struct Scalars {
  Tensor lr, step, clip, commit;
};

void update_one(ir::Builder& b, const Tuned& tuned, Tensor gradient, const Scalars& s,
                const OptimizerOptions& options) {
  const std::string& name = tuned.parameter->name;
  const ir::ScopeGuard scope(b, name);
  const Tensor weight = tuned.parameter->read(b);
  if (options.kind == OptimizerKind::sgd) {
    const ops::Sgd next =
        ops::sgd(weight, gradient, ops::state_read(b, name + ".velocity"), s.lr, s.step, s.clip, s.commit,
                 {.momentum = options.momentum,
                  .weight_decay = tuned.weight_decay,
                  .lr_factor = tuned.lr_factor,
                  .nesterov = options.nesterov});
    ops::state_write(next.weight, name);
    ops::state_write(next.velocity, name + ".velocity");
    return;
  }
  const ops::Adam next = ops::adam(weight, gradient, ops::state_read(b, name + ".first_moment"),
                                   ops::state_read(b, name + ".second_moment"), s.lr, s.step, s.clip, s.commit,
                                   {.beta1 = options.beta1,
                                    .beta2 = options.beta2,
                                    .eps = options.eps,
                                    .weight_decay = tuned.weight_decay,
                                    .decoupled = options.kind == OptimizerKind::adamw,
                                    .lr_factor = tuned.lr_factor});
  ops::state_write(next.weight, name);
  ops::state_write(next.first, name + ".first_moment");
  ops::state_write(next.second, name + ".second_moment");
}

}  // namespace

std::vector<ir::State> optimizer_states(const Parameter& parameter, const OptimizerOptions& options) {
  const ir::Type type{DType::f32, parameter.shape};
  const auto role = ir::StateRole::optimizer;
  if (options.kind == OptimizerKind::sgd) return {{parameter.name + ".velocity", type, role}};
  return {{parameter.name + ".first_moment", type, role}, {parameter.name + ".second_moment", type, role}};
}

void update(ir::Builder& b, const std::vector<Tuned>& parameters, Tensor loss, const OptimizerOptions& options) {
  std::vector<Tensor> gradients;
  for (const Tuned& tuned : parameters) gradients.push_back(ops::gradient_of(tuned.parameter->read(b)));
  const ir::ScopeGuard scope(b, "optimizer");
  const Tensor norm = ops::global_norm(gradients);
  const Scalars scalars{ops::scalar(b, "lr"), ops::scalar(b, "step"), ops::clip_factor(norm, options.max_norm),
                        ops::decision(norm, loss)};
  for (size_t i = 0; i < parameters.size(); ++i) update_one(b, parameters[i], gradients[i], scalars, options);
  ops::output(norm, "grad_norm");
  ops::output(scalars.commit, "commit");
}

}  // namespace ringmaster::nn
