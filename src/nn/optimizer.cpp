// SPDX-License-Identifier: Apache-2.0
#include "nn/optimizer.h"

#include "core/error.h"
#include "core/philox.h"
#include "ops/ops.h"

namespace ringmaster::nn {
namespace {

struct Scalars {
  Tensor lr, step, clip, commit;
};

int64_t rounding_of(const Tuned& tuned) {
  return tuned.options.stochastic ? static_cast<int64_t>(stable_hash(tuned.parameter->name + ".rounding")) : 0;
}

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
                  .limit = tuned.weight_limit,
                  .rounding = rounding_of(tuned)});
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
                                    .limit = tuned.weight_limit,
                                    .rounding = rounding_of(tuned)});
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
  const ir::Type kept{tuned.options.stochastic ? DType::bf16 : DType::f32, tuned.parameter->shape};
  using enum ir::StateRole;
  std::vector<ir::State> states;
  if (tuned.options.kind == OptimizerKind::sgd) {
    states = {{name + ".velocity", kept, optimizer}};
  } else {
    states = {{name + ".first_moment", kept, optimizer}, {name + ".second_moment", kept, optimizer}};
  }
  if (tuned.average_decay > 0) states.push_back({average_name(name), type, average});
  return states;
}

ir::State loss_scale_state(const std::string& phase) {
  return {phase + ".loss_scale", {DType::i32, {2}}, ir::StateRole::optimizer};
}

Tensor loss_scale(ir::Builder& b, const std::string& phase) {
  return ops::loss_scale(ops::state_read(b, loss_scale_state(phase).name)).scale;
}

// The factor of clipping undoes the scaling of gradients too: a power of 2, which costs no bit.
void update(ir::Builder& b, const std::vector<Tuned>& parameters, Tensor loss, const UpdateOptions& options) {
  std::vector<Tensor> gradients;
  for (const Tuned& tuned : parameters) gradients.push_back(ops::gradient_of(tuned.parameter->read(b)));
  const ir::ScopeGuard scope(b, "optimizer");
  const std::string state = options.scaled ? loss_scale_state(*options.scaled).name : "";
  const ops::LossScale by = options.scaled ? ops::loss_scale(ops::state_read(b, state)) : ops::LossScale{};
  const auto unscaled = [&](Tensor x) { return options.scaled ? ops::mul(x, by.inverse) : x; };
  const Tensor norm = unscaled(ops::global_norm(gradients));
  const Scalars scalars{ops::scalar(b, "lr"), ops::scalar(b, "step"),
                        unscaled(ops::clip_factor(norm, options.max_norm)), ops::decision(norm, loss)};
  for (size_t i = 0; i < parameters.size(); ++i) update_one(b, parameters[i], gradients[i], scalars);
  ops::output(norm, "grad_norm");
  ops::output(scalars.commit, "commit");
  if (!options.scaled) return;
  ops::output(by.scale, "loss_scale");
  ops::state_write(ops::next_loss_scale(ops::state_read(b, state), scalars.commit), state);
}

}  // namespace ringmaster::nn
