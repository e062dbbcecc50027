// SPDX-License-Identifier: Apache-2.0
// loss_scale: what the seed of a backward pass in f16 is multiplied by, so that small gradients do not vanish.
//   Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the automaton is that of PyTorch's GradScaler: 2^16 at first, halved
//   when a gradient overflowed, doubled after `growth_interval` updates in a row.
//   state i32[2]: e, doublings less halvings; updates since the last of either. All 0 at first.
//   loss_scale        in state                  out scale f32[] = 2^(16 + e), inverse f32[] = 2^-(16 + e)
//   next_loss_scale   in state, commit i32[]; fits i32[], optional (grids.cpp)    out state; commit 0: the phase overflowed, unless
//                     `fits` is 0: then it comes again on other grids, and the state stays
//   numerics: exact, as both factors are powers of 2; e stays in -100..100, where both are normal numbers.
//   errors: config if state is not i32[2] or another input not i32[].
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <algorithm>
#include <cmath>

namespace ringmaster::ops {
namespace {

constexpr int first_exponent = 16, most_doublings = 100;

const ir::AttrSpec attrs[] = {{"growth_interval", int64_t{2000}, false, "updates in a row until the scale doubles"}};

void require(const ir::Type& found, const ir::Type& expected, const char* what) {
  if (!(found == expected))
    throw Error(
        {.kind = ErrorKind::config, .message = fmt::format("{} is {}", what, str(found)), .expected = str(expected)});
}

std::vector<ir::Type> infer_scale(const ir::OpView& v) {
  require(v.in[0], i32({2}), "state");
  return {f32({}), f32({})};
}

std::vector<ir::Type> infer_next(const ir::OpView& v) {
  require(v.in[0], i32({2}), "state");
  require(v.in[1], i32({}), "commit");
  if (v.in.size() > 2) require(v.in[2], i32({}), "fits");
  return {i32({2})};
}

int exponent_of(double doublings) {
  return first_exponent + std::clamp(static_cast<int>(doublings), -most_doublings, most_doublings);
}

struct State {
  int32_t doublings, updates;
};

State next(State s, bool commit, int64_t growth_interval) {
  if (!commit) return {std::max(s.doublings - 1, -most_doublings), 0};
  if (s.updates + 1 < growth_interval) return {s.doublings, s.updates + 1};
  return {std::min(s.doublings + 1, most_doublings), 0};
}

void reference_scale(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                     const ir::RunContext&) {
  out[0].data[0] = std::ldexp(1.0, exponent_of(in[0].data[0]));
  out[1].data[0] = std::ldexp(1.0, -exponent_of(in[0].data[0]));
}

void reference_next(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  if (in.size() > 2 && in[2].data[0] == 0.0) {
    out[0].data = in[0].data;
    return;
  }
  const auto interval = static_cast<double>(v.attrs.integer("growth_interval"));
  const double e = in[0].data[0], updates = in[0].data[1];
  const bool commit = in[1].data[0] != 0.0, grows = commit && updates + 1.0 >= interval;
  out[0].data[0] = std::clamp(commit ? e + (grows ? 1.0 : 0.0) : e - 1.0, -100.0, 100.0);
  out[0].data[1] = commit && !grows ? updates + 1.0 : 0.0;
}

std::unique_ptr<ir::Kernel> cpu_scale(const ir::OpView&, int) {
  return ir::make_kernel([](const ir::KernelArgs& a) {
    const int exponent = exponent_of(a.input<int32_t>(0)[0]);
    *a.output<float>(0) = std::ldexp(1.0F, exponent);
    *a.output<float>(1) = std::ldexp(1.0F, -exponent);
  });
}

std::unique_ptr<ir::Kernel> cpu_next(const ir::OpView& v, int) {
  return ir::make_kernel(
      [interval = v.attrs.integer("growth_interval"), fixed = v.in.size() > 2](const ir::KernelArgs& a) {
        const auto* in = a.input<int32_t>(0);
        const bool again = fixed && *a.input<int32_t>(2) == 0;
        const State s = again ? State{in[0], in[1]} : next({in[0], in[1]}, *a.input<int32_t>(1) != 0, interval);
        auto* out = a.output<int32_t>(0);
        out[0] = s.doublings;
        out[1] = s.updates;
      });
}

std::vector<ir::Sample> samples_of(bool with_commit, bool with_fits = false) {
  const auto ids = [](double high) { return ir::Fill{.kind = ir::Fill::ids, .high = high}; };
  std::vector<ir::Sample> list;
  for (const double high : {1.0, 2.0, 4.0, 90.0}) {
    ir::Sample sample{.in = {i32({2})}, .fill = {ids(high)}};
    if (with_commit) {
      sample.in.push_back(i32({}));
      sample.fill.push_back(ids(2.0));
      sample.attrs = {{"growth_interval", int64_t{3}}};
    }
    if (with_fits) {
      sample.in.push_back(i32({}));
      sample.fill.push_back(ids(2.0));
    }
    list.push_back(sample);
  }
  return list;
}

}  // namespace

const OpDef loss_scale_op{.name = "loss_scale",
                          .doc = "state -> scale, 1 / scale: powers of 2",
                          .min_inputs = 1,
                          .max_inputs = 1,
                          .infer = infer_scale,
                          .reference = reference_scale,
                          .cpu = cpu_scale,
                          .samples = [] { return samples_of(false); },
                          .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

const OpDef next_loss_scale_op{.name = "next_loss_scale",
                               .doc = "state, commit (, fits) -> the next step's state",
                               .attrs = attrs,
                               .min_inputs = 2,
                               .max_inputs = 3,
                               .infer = infer_next,
                               .reference = reference_next,
                               .cpu = cpu_next,
                               .samples =
                                   [] {
                                     std::vector<ir::Sample> list = samples_of(true);
                                     for (const ir::Sample& s : samples_of(true, true)) list.push_back(s);
                                     return list;
                                   },
                               .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

LossScale loss_scale(Tensor state) {
  const auto out = state.builder().emit(loss_scale_op, std::span(&state, 1));
  return {out[0], out[1]};
}

Tensor next_loss_scale(Tensor state, Tensor commit, Tensor fits) {
  std::vector<Tensor> in{state, commit};
  if (fits.valid()) in.push_back(fits);
  return state.builder().emit(next_loss_scale_op, in).front();
}

}  // namespace ringmaster::ops
