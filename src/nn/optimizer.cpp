// SPDX-License-Identifier: Apache-2.0
#include "nn/optimizer.h"

#include "core/error.h"
#include "ops/ops.h"

namespace ringmaster::nn {
namespace {

struct Scalars {
  Tensor lr, step, clip, commit;
};

// The new weight; the states of its rule are written.
Tensor new_weight(ir::Builder& b, const Tuned& tuned, Tensor gradient, const Scalars& s) {
  const std::string& name = tuned.parameter->name;
  const OptimizerOptions& options = tuned.options;
  const Tensor weight = tuned.parameter->read(b);
  if (options.kind == OptimizerKind::sgd) {
    const ops::Sgd next =
        ops::sgd(weight, gradient, ops::state_read(b, name + ".velocity"), s.lr, s.step, s.clip, s.commit,
                 {.momentum = options.momentum,
                  .weight_decay = tuned.weight_decay,
                  .lr_factor = tuned.lr_factor,
                  .nesterov = options.nesterov,
                  .limit = tuned.weight_limit});
    ops::state_write(next.velocity, name + ".velocity");
    return next.weight;
  }
  const ops::Adam next = ops::adam(weight, gradient, ops::state_read(b, name + ".first_moment"),
                                   ops::state_read(b, name + ".second_moment"), s.lr, s.step, s.clip, s.commit,
                                   {.beta1 = options.beta1,
                                    .beta2 = options.beta2,
                                    .eps = options.eps,
                                    .weight_decay = tuned.weight_decay,
                                    .decoupled = options.kind == OptimizerKind::adamw,
                                    .lr_factor = tuned.lr_factor,
                                    .limit = tuned.weight_limit});
  ops::state_write(next.first, name + ".first_moment");
  ops::state_write(next.second, name + ".second_moment");
  return next.weight;
}

void update_one(ir::Builder& b, const Tuned& tuned, Tensor gradient, const Scalars& s) {
  const std::string& name = tuned.parameter->name;
  const ir::ScopeGuard scope(b, name);
  const Tensor weight = new_weight(b, tuned, gradient, s);
  if (tuned.average_decay > 0) {
    const std::string average = average_name(name);
    ops::state_write(ops::average(ops::state_read(b, average), weight, s.commit, tuned.average_decay), average);
  }
  ops::state_write(weight, name);
}

}  // namespace

std::string average_name(const std::string& parameter) { return parameter + ".average"; }

std::vector<ir::State> update_states(const Tuned& tuned) {
  const std::string& name = tuned.parameter->name;
  const ir::Type type{DType::f32, tuned.parameter->shape};
  using enum ir::StateRole;
  std::vector<ir::State> states;
  if (tuned.options.kind == OptimizerKind::sgd) {
    states = {{name + ".velocity", type, optimizer}};
  } else {
    states = {{name + ".first_moment", type, optimizer}, {name + ".second_moment", type, optimizer}};
  }
  if (tuned.average_decay > 0) states.push_back({average_name(name), type, average});
  return states;
}

void update(ir::Builder& b, const std::vector<Tuned>& parameters, Tensor loss, double max_norm) {
  std::vector<Tensor> gradients;
  for (const Tuned& tuned : parameters) gradients.push_back(ops::gradient_of(tuned.parameter->read(b)));
  const ir::ScopeGuard scope(b, "optimizer");
  const Tensor norm = ops::global_norm(gradients);
  const Scalars scalars{ops::scalar(b, "lr"), ops::scalar(b, "step"), ops::clip_factor(norm, max_norm),
                        ops::decision(norm, loss)};
  for (size_t i = 0; i < parameters.size(); ++i) update_one(b, parameters[i], gradients[i], scalars);
  ops::output(norm, "grad_norm");
  ops::output(scalars.commit, "commit");
}

}  // namespace ringmaster::nn
