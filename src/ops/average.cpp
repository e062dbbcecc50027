// SPDX-License-Identifier: Apache-2.0
// average: the exponential moving average of a weight.     Polyak and Juditsky 1992
//   y = decay average + (1 - decay) weight,  in the form average + (1 - decay) (weight - average)
//   in  average, weight: f32, one shape; commit i32[]     out y, over the old average where that dies     attrs decay in [0, 1]
//   commit 0: y is the average, bit for bit
//   numerics: f32; 1 - decay is rounded once, so that the average of a weight that stays put is that weight.
//   errors: config if shapes or dtypes differ, or decay is out of range.
#include "backend/cpu/lanes.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

namespace ringmaster::ops {
namespace {

using backend::Lanes;

const ir::AttrSpec attrs[] = {{"decay", 0.999, true, "share of the old average that stays"}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const auto require = [](bool ok, const std::string& found, const std::string& expected) {
    if (!ok) throw Error({.kind = ErrorKind::config, .message = found, .expected = expected});
  };
  const double decay = v.attrs.number("decay");
  require(decay >= 0.0 && decay <= 1.0, fmt::format("decay is {}", decay), "0 <= decay <= 1");
  require(v.in[0].dtype == DType::f32, "average is " + str(v.in[0]), "f32");
  require(v.in[1] == v.in[0], "weight is " + str(v.in[1]), str(v.in[0]) + " like the average");
  require(v.in[2] == i32({}), "commit is " + str(v.in[2]), "i32[]");
  return {v.in[0]};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const double decay = in[2].data[0] != 0.0 ? v.attrs.number("decay") : 1.0;
  for (size_t i = 0; i < out[0].data.size(); ++i)
    out[0].data[i] = decay * in[0].data[i] + (decay == 1.0 ? 0.0 : (1.0 - decay) * in[1].data[i]);
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const int64_t n = v.in[0].shape.elements();
  const auto rate = static_cast<float>(1.0 - v.attrs.number("decay"));
  return ir::make_kernel([=](const ir::KernelArgs& a) {
    const bool commit = *a.input<int32_t>(2) != 0;
    for_blocks(n, threads, [&](int64_t begin, int64_t count) {
      if (!commit) return keep_state(a, 0, DType::f32, begin, count);
      const float *old = a.input<float>(0) + begin, *weight = a.input<float>(1) + begin;
      float* y = a.output<float>(0) + begin;
      backend::for_lanes(count, [&](int64_t i, int64_t lanes) {
        const Lanes average = backend::load(old + i, lanes);
        backend::store(y + i, fma(Lanes(rate), backend::load(weight + i, lanes) - average, average), lanes);
      });
    });
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& shape, double decay, bool shipped) {
    list.push_back({.in = {f32(shape), f32(shape), i32({})},
                    .attrs = {{"decay", decay}},
                    .fill = {{}, {}, {.kind = ir::Fill::ids, .high = 2.0}},
                    .shipped = shipped});
  };
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{3, 5, 7}, Shape{17, 33}, Shape{0, 3}}) add(shape, 0.9, false);
  for (int i = 0; i < 4; ++i) add({70000}, 0.999, false);  // more than one block; commit drawn 0 and 1
  add({17}, 0.0, false);
  add({17}, 1.0, false);
  add({768, 3072}, 0.999, true);
  return list;
}

}  // namespace

const OpDef average_op{
    .name = "average",
    .doc = "average, weight, commit -> the moving average",
    .attrs = attrs,
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer,
    .reference = reference,
    .cpu = cpu,
    .samples = samples,
    .traits = {.cast = ir::CastClass::f32, .by_parts = true, .in_place = true, .differentiable = false}};

Tensor average(Tensor old, Tensor weight, Tensor commit, double decay) {
  return weight.builder().emit1(average_op, {old, weight, commit}, {{"decay", decay}});
}

}  // namespace ringmaster::ops
