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

// The gradients of a phase: as they are, or integers and what tells their units.
struct Gradients {
  std::vector<Tensor> values, grids;
  ops::NextGrids next;

  ops::Gradient of(size_t i) const { return {values[i], grids.empty() ? Tensor() : grids[i]}; }
};

int64_t rounding_of(const Tuned& tuned) {
  return tuned.options.stochastic ? static_cast<int64_t>(stable_hash(tuned.parameter->name + ".rounding")) : 0;
}

// The new weight; the states of its rule are written.
Tensor new_weight(ir::Builder& b, const Tuned& tuned, const ops::Gradient& gradient, const Scalars& s) {
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

void update_one(ir::Builder& b, const Tuned& tuned, const ops::Gradient& gradient, const Scalars& s) {
  const std::string& name = tuned.parameter->name;
  const ir::ScopeGuard scope(b, name);
  const Tensor weight = new_weight(b, tuned, gradient, s);
  if (tuned.average_decay > 0) {
    const std::string average = average_name(name);
    ops::state_write(ops::average(ops::state_read(b, average), weight, s.commit, tuned.average_decay), average);
  }
  ops::state_write(weight, name);
}

Gradients gradients_of(ir::Builder& b, const std::vector<Tuned>& parameters, const UpdateOptions& options, Tensor step,
                       Tensor scale) {
  Gradients out;
  if (!options.fixed) {
    for (const Tuned& tuned : parameters) out.values.push_back(ops::gradient_of(tuned.parameter->read(b)));
    return out;
  }
  const auto count = static_cast<int64_t>(parameters.size());
  const std::string maxima = gradient_maxima_state(options.fixed->phase, count).name;
  std::vector<Tensor> peaks;
  for (const Tuned& tuned : parameters) {
    const auto [sum, peak] =
        ops::gradient_of(tuned.parameter->read(b), maxima, std::ssize(out.values), options.fixed->num_grains);
    out.values.push_back(sum);
    peaks.push_back(peak);
  }
  const ir::ScopeGuard scope(b, "optimizer");
  const Tensor read = ops::state_read(b, maxima);
  out.grids = ops::grids(read, scale);
  out.next = ops::next_grids(read, step, scale, peaks);
  return out;
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
  return {phase + ".loss_scale", {DType::i32, {2}}, ir::StateRole::control};
}

Tensor loss_scale(ir::Builder& b, const std::string& phase) {
  return ops::loss_scale(ops::state_read(b, loss_scale_state(phase).name)).scale;
}

ir::State gradient_maxima_state(const std::string& phase, int64_t num_gradients) {
  return {phase + std::string(gradient_maxima),
          {DType::f32, {num_gradients, ops::gradient_updates}},
          ir::StateRole::control};
}

// The factor of clipping undoes the scaling of gradients too: a power of 2, which costs no bit.
void update(ir::Builder& b, const std::vector<Tuned>& parameters, Tensor loss, const UpdateOptions& options) {
  const std::string state = options.scaled ? loss_scale_state(*options.scaled).name : "";
  ops::LossScale by;
  Tensor step;
  {
    const ir::ScopeGuard scope(b, "optimizer");
    if (options.scaled) by = ops::loss_scale(ops::state_read(b, state));
    step = ops::scalar(b, "step");
  }
  const Gradients gradients = gradients_of(b, parameters, options, step, by.scale);
  const ir::ScopeGuard scope(b, "optimizer");
  const auto unscaled = [&](Tensor x) { return options.scaled ? ops::mul(x, by.inverse) : x; };
  const Tensor norm = unscaled(ops::global_norm(gradients.values, gradients.grids));
  const Scalars scalars{ops::scalar(b, "lr"), step, unscaled(ops::clip_factor(norm, options.max_norm)),
                        ops::decision(norm, loss, gradients.next.fits)};
  for (size_t i = 0; i < parameters.size(); ++i) update_one(b, parameters[i], gradients.of(i), scalars);
  ops::output(norm, "grad_norm");
  ops::output(scalars.commit, "commit");
  if (options.fixed) {
    ops::output(gradients.next.fits, "fits");
    ops::state_write(gradients.next.maxima, gradient_maxima_state(options.fixed->phase, std::ssize(parameters)).name);
  }
  if (!options.scaled) return;
  ops::output(by.scale, "loss_scale");
  ops::state_write(ops::next_loss_scale(ops::state_read(b, state), scalars.commit, gradients.next.fits), state);
}

}  // namespace ringmaster::nn
