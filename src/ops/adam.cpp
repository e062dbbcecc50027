// SPDX-License-Identifier: Apache-2.0
// adam: one update of a weight by bias-corrected moments.     Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019,
// arXiv:1711.05101 (decoupled weight decay, "AdamW"). The arithmetic follows PyTorch's Adam and AdamW.
//   g = clip gradient;  decoupled: w = w (1 - lr wd),  else g = g + wd w
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w = w - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   in  weight, first (m), second (v), gradient: f32, one shape, m and v alternatively bf16, rounded stochastically; lr f32[],
//       step f32[] or i32[] (t, 1 at the first update), clip f32[], commit i32[]     out weight, first, second, over the old ones where those die;
//       with `narrow` the weight once more in 16 bits
//   a gradient of integers: i32, and behind commit its grid f32[] (grids.cpp)
//   a split master (core/halves.h): weight bf16, and its remainder u16 behind the second moment, in and out
//   limit > 0: the new weight is clamped to [-limit, limit] (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)
//   commit 0: the outputs are the inputs, bit for bit.   numerics: f32; the scalars of t in f64.
//   errors: config if shapes or dtypes differ.
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/optimizer.h"
#include "ops/optimizer_samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

using ir::OpView;

const ir::AttrSpec attrs[] = {{"beta1", 0.9},
                              {"beta2", 0.95},
                              {"eps", 1e-8},
                              {"weight_decay", 0.0},
                              {"decoupled", true, false, "adamw; false: decay joins the gradient"},
                              {"lr_factor", 1.0, false, "multiplies lr"},
                              limit_attr,
                              narrow_attr,
                              rounding_attr,
                              element_attr};
const char* const names[] = {"weight", "first", "second", "gradient", "lr", "step", "clip", "commit"};

std::vector<ir::Type> infer(const OpView& v) { return infer_update(v, 3, names); }

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const UpdateScalars s = update_scalars(in, gradient_place(in, 3) + 1);
  const double b1 = v.attrs.number("beta1"), b2 = v.attrs.number("beta2"), decay = v.attrs.number("weight_decay");
  const double lr = s.lr * v.attrs.number("lr_factor");
  const bool decoupled = v.attrs.flag("decoupled");
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    double w = weight_of(in, 3, i), m = in[1].data[i], u = in[2].data[i];
    if (s.commit) {
      const double g = s.clip * gradient_at(in, 3, i) + (decoupled ? 0.0 : decay * w);
      if (decoupled) w -= lr * decay * w;
      m = b1 * m + (1.0 - b1) * g;
      u = b2 * u + (1.0 - b2) * g * g;
      const double corrected = m / (1.0 - std::pow(b1, s.step));
      w -= lr * corrected / (std::sqrt(u / (1.0 - std::pow(b2, s.step))) + v.attrs.number("eps"));
      if (const double limit = v.attrs.number("limit"); limit > 0) w = std::clamp(w, -limit, limit);
    }
    keep_weight(out, 3, i, w);
    out[1].data[i] = m;
    out[2].data[i] = u;
  }
}

struct Options {
  double b1, b2, eps, decay, lr_factor, limit;
  bool decoupled;
};

// The update of a tile, by numbers that are the same for every element.
struct Rule {
  float clip, keep_weight, decay, b1, rest1, b2, rest2, per_root, eps, rate, limit;

  Rule(const Options& o, const UpdateScalars& s) {
    const auto f = [](double x) { return static_cast<float>(x); };
    const double lr = s.lr * o.lr_factor;
    clip = f(s.clip);
    keep_weight = f(o.decoupled ? 1.0 - lr * o.decay : 1.0);
    decay = f(o.decoupled ? 0.0 : o.decay);
    b1 = f(o.b1);
    rest1 = f(1.0 - o.b1);
    b2 = f(o.b2);
    rest2 = f(1.0 - o.b2);
    per_root = f(1.0 / std::sqrt(1.0 - std::pow(o.b2, s.step)));
    eps = f(o.eps);
    rate = f(lr / (1.0 - std::pow(o.b1, s.step)));
    limit = f(o.limit);
  }

  void operator()(const UpdateTile& t) const {
    const Rule f = *this;  // a copy: stores through `now` can not change it, so it stays in registers
    const float *w_old = t.old[0], *m_old = t.old[1], *v_old = t.old[2], *gradient = t.gradient;
    float *w_now = t.now[0], *m_now = t.now[1], *v_now = t.now[2];
#pragma omp simd
    for (int64_t i = 0; i < t.count; ++i) {
      const float w = w_old[i], g = __builtin_fmaf(f.decay, w, f.clip * gradient[i]);
      const float m = __builtin_fmaf(f.b1, m_old[i], f.rest1 * g);
      const float v = __builtin_fmaf(f.b2, v_old[i], f.rest2 * g * g);
      const float denominator = __builtin_fmaf(__builtin_sqrtf(v), f.per_root, f.eps);
      w_now[i] = clamp(w * f.keep_weight - f.rate * (m / denominator), f.limit);
      m_now[i] = m;
      v_now[i] = v;
    }
  }
};

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const Options options{.b1 = v.attrs.number("beta1"),
                        .b2 = v.attrs.number("beta2"),
                        .eps = v.attrs.number("eps"),
                        .decay = v.attrs.number("weight_decay"),
                        .lr_factor = v.attrs.number("lr_factor"),
                        .limit = limit_of(v.attrs),
                        .decoupled = v.attrs.flag("decoupled")};
  const UpdateLoop loop(v, 3, threads);
  return ir::make_kernel([=, step = v.in[static_cast<size_t>(loop.gradient) + 2].dtype](const ir::KernelArgs& a) {
    const UpdateScalars s = update_scalars(a, loop.gradient + 1, step);
    loop.run(a, s.commit, Rule(options, s));
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list =
      update_samples(3, 2,
                     {{},
                      {{"eps", 0.1}, {"weight_decay", 0.1}, {"limit", 0.5}},  // an eps whose place is seen
                      {{"weight_decay", 0.1}, {"decoupled", false}, {"lr_factor", 0.5}},
                      {{"narrow", std::string("bf16")}},
                      {{"narrow", std::string("f16")}},
                      {{"rounding", int64_t{77}}, {"narrow", std::string("bf16")}}});
  const auto fixed = with_fixed_gradient(update_samples(3, 2, {{}, {{"weight_decay", 0.1}, {"decoupled", false}}}), 3);
  list.insert(list.end(), fixed.begin(), fixed.end());
  const auto split = with_split_weight(update_samples(3, 2, {{}, {{"rounding", int64_t{77}}}}), 3);
  list.insert(list.end(), split.begin(), split.end());
  return list;
}

}  // namespace

const OpDef adam_op{.name = "adam",
                    .doc = "weight, first, second, gradient, lr, step, clip, commit -> weight, first, second",
                    .attrs = attrs,
                    .min_inputs = 8,
                    .max_inputs = 10,
                    .infer = infer,
                    .reference = reference,
                    .cpu = cpu,
                    .samples = samples,
                    .traits = {.cast = ir::CastClass::f32,
                               .narrow_copy = true,
                               .remainder = 3,
                               .by_parts = true,
                               .in_place = true,
                               .differentiable = false}};

Adam adam(Tensor weight, const Gradient& gradient, Tensor first, Tensor second, Tensor lr, Tensor step, Tensor clip,
          Tensor commit, const AdamOptions& o) {
  std::vector<Tensor> in{weight, first, second, gradient.value, lr, step, clip, commit};
  if (gradient.grid.valid()) in.push_back(gradient.grid);
  const auto out = weight.builder().emit(adam_op, in,
                                         {{"beta1", o.beta1},
                                          {"beta2", o.beta2},
                                          {"eps", o.eps},
                                          {"weight_decay", o.weight_decay},
                                          {"decoupled", o.decoupled},
                                          {"lr_factor", o.lr_factor},
                                          {"limit", o.limit},
                                          {"rounding", o.rounding}});
  return {out[0], out[1], out[2]};
}

}  // namespace ringmaster::ops
