// SPDX-License-Identifier: Apache-2.0
// sgd: one update of a weight with momentum.     Sutskever et al. 2013, in the form of PyTorch's SGD
//   g = clip gradient + wd w;  velocity = g at the first update (t = 1), else momentum velocity + g
//   w = w - lr (nesterov: g + momentum velocity, else velocity)
//   in  weight, velocity, gradient: f32, one shape, the velocity alternatively bf16, rounded stochastically; lr f32[],
//       step f32[] or i32[] (t), clip f32[], commit i32[]
//   a gradient of integers: i32, and behind commit its grid f32[] (grids.cpp)
//   a split master (core/halves.h): weight bf16, and its remainder u16 behind the velocity, in and out
//   out weight, velocity, over the old ones where those die; with `narrow` the weight once more in 16 bits
//   commit 0: the outputs are the inputs, bit for bit
//   limit > 0: the new weight is clamped to [-limit, limit]
//   numerics: f32.   errors: config if shapes or dtypes differ.
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/optimizer.h"
#include "ops/optimizer_samples.h"

namespace ringmaster::ops {
namespace {

using ir::OpView;

const ir::AttrSpec attrs[] = {{"momentum", 0.0},
                              {"weight_decay", 0.0},
                              {"lr_factor", 1.0, false, "multiplies lr"},
                              {"nesterov", false},
                              limit_attr,
                              narrow_attr,
                              rounding_attr,
                              element_attr};
const char* const names[] = {"weight", "velocity", "gradient", "lr", "step", "clip", "commit"};

std::vector<ir::Type> infer(const OpView& v) { return infer_update(v, 2, names); }

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const UpdateScalars s = update_scalars(in, gradient_place(in, 2) + 1);
  const double momentum = v.attrs.number("momentum"), lr = s.lr * v.attrs.number("lr_factor");
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    double w = weight_of(in, 2, i), velocity = in[1].data[i];
    if (s.commit) {
      const double g = s.clip * gradient_at(in, 2, i) + v.attrs.number("weight_decay") * w;
      velocity = s.step <= 1.0 ? g : momentum * velocity + g;
      w -= lr * (v.attrs.flag("nesterov") ? g + momentum * velocity : velocity);
      if (const double limit = v.attrs.number("limit"); limit > 0) w = std::clamp(w, -limit, limit);
    }
    keep_weight(out, 2, i, w);
    out[1].data[i] = velocity;
  }
}

// The update of a tile, by numbers that are the same for every element.
struct Rule {
  float clip, decay, carry, ahead_g, ahead_velocity, lr, limit;

  void operator()(const UpdateTile& t) const {
    const Rule f = *this;  // a copy: stores through `now` can not change it, so it stays in registers
    const float *w_old = t.old[0], *velocity_old = t.old[1], *gradient = t.gradient;
    float *w_now = t.now[0], *velocity_now = t.now[1];
#pragma omp simd
    for (int64_t i = 0; i < t.count; ++i) {
      const float w = w_old[i], g = __builtin_fmaf(f.decay, w, f.clip * gradient[i]);
      const float velocity = __builtin_fmaf(f.carry, velocity_old[i], g);
      w_now[i] = clamp(w - f.lr * __builtin_fmaf(f.ahead_velocity, velocity, f.ahead_g * g), f.limit);
      velocity_now[i] = velocity;
    }
  }
};

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const double momentum = v.attrs.number("momentum"), decay = v.attrs.number("weight_decay"),
               factor = v.attrs.number("lr_factor"), limit = limit_of(v.attrs);
  const bool nesterov = v.attrs.flag("nesterov");
  const UpdateLoop loop(v, 2, threads);
  return ir::make_kernel([=, step = v.in[static_cast<size_t>(loop.gradient) + 2].dtype](const ir::KernelArgs& a) {
    const UpdateScalars s = update_scalars(a, loop.gradient + 1, step);
    const auto f = [](double x) { return static_cast<float>(x); };
    loop.run(a, s.commit,
             Rule{.clip = f(s.clip),
                  .decay = f(decay),
                  .carry = f(s.step <= 1.0 ? 0.0 : momentum),
                  .ahead_g = f(nesterov ? 1.0 : 0.0),
                  .ahead_velocity = f(nesterov ? momentum : 1.0),
                  .lr = f(s.lr * factor),
                  .limit = f(limit)});
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list =
      update_samples(2, 0,
                     {{},
                      {{"momentum", 0.9}, {"limit", 0.5}},
                      {{"momentum", 0.9}, {"weight_decay", 0.1}, {"nesterov", true}, {"lr_factor", 0.5}},
                      {{"narrow", std::string("bf16")}},
                      {{"narrow", std::string("f16")}},
                      {{"momentum", 0.9}, {"rounding", int64_t{78}}}});
  const auto fixed = with_fixed_gradient(update_samples(2, 0, {{{"momentum", 0.9}}}), 2);
  list.insert(list.end(), fixed.begin(), fixed.end());
  const auto split = with_split_weight(update_samples(2, 0, {{{"momentum", 0.9}}}), 2);
  list.insert(list.end(), split.begin(), split.end());
  return list;
}

}  // namespace

const OpDef sgd_op{.name = "sgd",
                   .doc = "weight, velocity, gradient, lr, step, clip, commit -> weight, velocity",
                   .attrs = attrs,
                   .min_inputs = 7,
                   .max_inputs = 9,
                   .infer = infer,
                   .reference = reference,
                   .cpu = cpu,
                   .samples = samples,
                   .traits = {.cast = ir::CastClass::f32,
                              .narrow_copy = true,
                              .remainder = 2,
                              .by_parts = true,
                              .in_place = true,
                              .differentiable = false}};

Sgd sgd(Tensor weight, const Gradient& gradient, Tensor velocity, Tensor lr, Tensor step, Tensor clip, Tensor commit,
        const SgdOptions& o) {
  std::vector<Tensor> in{weight, velocity, gradient.value, lr, step, clip, commit};
  if (gradient.grid.valid()) in.push_back(gradient.grid);
  const auto out = weight.builder().emit(sgd_op, in,
                                         {{"momentum", o.momentum},
                                          {"weight_decay", o.weight_decay},
                                          {"lr_factor", o.lr_factor},
                                          {"nesterov", o.nesterov},
                                          {"limit", o.limit},
                                          {"rounding", o.rounding}});
  return {out[0], out[1]};
}

}  // namespace ringmaster::ops
