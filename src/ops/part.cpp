// SPDX-License-Identifier: Apache-2.0
// part: elements [begin, end) of a tensor, row-major and flat, as a view.
//   in  any tensor     out its dtype, [end - begin]     errors: config if the range is not within the tensor.
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"

#include <cstring>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"begin", int64_t{0}, true, "element"}, {"end", int64_t{0}, true, "element"}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const int64_t begin = v.attrs.integer("begin"), end = v.attrs.integer("end");
  if (0 <= begin && begin <= end && end <= v.in[0].shape.elements()) return {{v.in[0].dtype, {end - begin}}};
  throw Error({.kind = ErrorKind::config,
               .message = fmt::format("elements {} to {} of {}", begin, end, str(v.in[0])),
               .expected = "0 <= begin <= end <= its elements"});
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const auto begin = static_cast<size_t>(v.attrs.integer("begin"));
  for (size_t i = 0; i < out[0].data.size(); ++i) out[0].data[i] = in[0].data[begin + i];
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int) {
  const int64_t begin = v.attrs.integer("begin") * size_of(v.in[0].dtype), bytes = v.out[0].bytes();
  return ir::make_kernel([=](const ir::KernelArgs& a) {
    const char* from = a.input<char>(0) + begin;
    if (char* to = a.output<char>(0); to != from) std::memcpy(to, from, static_cast<size_t>(bytes));
  });
}

std::vector<ir::Sample> samples() {
  const auto range = [](int64_t begin, int64_t end) { return ir::Attrs{{"begin", begin}, {"end", end}}; };
  return {{.in = {{DType::f32, {4, 5}}}, .attrs = range(3, 17)},
          {.in = {{DType::f32, {7}}}, .attrs = range(0, 7)},
          {.in = {{DType::f32, {7}}}, .attrs = range(7, 7)}};
}

}  // namespace

const OpDef part_op{
    .name = "part",
    .doc = "elements [begin, end) of a tensor, flat",
    .attrs = attrs,
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .reference = reference,
    .cpu = cpu,
    .view = [](const ir::OpView& v,
               int) { return std::optional<int64_t>(v.attrs.integer("begin") * size_of(v.in[0].dtype)); },
    .samples = samples,
    .traits = {.cost = ir::CostClass::free, .differentiable = false}};

Tensor part(Tensor x, int64_t begin, int64_t end) {
  return x.builder().emit1(part_op, {x}, {{"begin", begin}, {"end", end}});
}

}  // namespace ringmaster::ops
