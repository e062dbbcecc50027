// SPDX-License-Identifier: Apache-2.0
// join_master: a split master (core/halves.h) as f32.
//   in  weight bf16, remainder u16, one shape     out f32 of that shape, exact
//   no gradient: who differentiates reads the weight before it is split.   errors: config if shapes or dtypes differ.
#include "core/error.h"
#include "core/halves.h"
#include "ops/blocks.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

std::vector<ir::Type> infer(const ir::OpView& v) {
  const ir::Type &weight = v.in[0], &remainder = v.in[1];
  if (weight.dtype == DType::bf16 && remainder == ir::Type{DType::u16, weight.shape}) return {f32(weight.shape)};
  throw Error({.kind = ErrorKind::config,
               .message = "weight is " + str(weight) + ", remainder is " + str(remainder),
               .expected = "bf16 and u16 of one shape"});
}

// high is exact in f64; low counts units of the last place of the f32 pattern that high begins.
void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const auto high = std::bit_cast<int32_t>(static_cast<float>(in[0].data[i]));
    const double low = in[1].data[i] - (in[1].data[i] < 32768.0 ? 0.0 : 65536.0);
    out[0].data[i] = std::bit_cast<float>(high + static_cast<int32_t>(low));
  }
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  return ir::make_kernel([threads, n = v.out[0].shape.elements()](const ir::KernelArgs& a) {
    for_blocks(n, threads, [&](int64_t begin, int64_t count) {
      join_into(a.output<float>(0) + begin, a.input<bf16>(0) + begin, a.input<uint16_t>(1) + begin, count);
    });
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& shape, bool shipped) {
    list.push_back({.in = {{DType::bf16, shape}, {DType::u16, shape}},
                    .fill = {{.kind = ir::Fill::distinct}, {.kind = ir::Fill::ids, .low = 0.0, .high = 65536.0}},
                    .shipped = shipped});
  };
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{17, 33}, Shape{0, 3}, Shape{70000}}) add(shape, false);
  add({768, 3072}, true);
  return list;
}

}  // namespace

const OpDef join_master_op{.name = "join_master",
                           .doc = "weight bf16, remainder u16 -> f32",
                           .min_inputs = 2,
                           .max_inputs = 2,
                           .infer = infer,
                           .reference = reference,
                           .cpu = cpu,
                           .samples = samples,
                           .traits = {.cast = ir::CastClass::f32, .by_parts = true, .differentiable = false}};

Tensor join_master(Tensor weight, Tensor remainder) {
  return weight.builder().emit1(join_master_op, {weight, remainder});
}

}  // namespace ringmaster::ops
