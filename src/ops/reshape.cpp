// SPDX-License-Identifier: Apache-2.0
// reshape: the same elements in row-major order under another shape.     dx = dy under x's shape
//   in  x: any dtype     out y of `shape`, a view of x     attrs shape; one dim may be -1 and is then what is left
//   errors: config if the shapes hold different numbers of elements.
#include "ops/defs.h"
#include "ops/moves.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"shape", ir::Ints{}, true}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const int64_t n = v.in[0].shape.elements();
  Shape shape(v.attrs.ints("shape"));
  int64_t known = 1;
  int open = -1, num_open = 0;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == -1) {
      open = d;
      ++num_open;
    } else {
      known *= shape[d];
    }
  }
  if (num_open == 1 && known > 0 && n % known == 0) {
    shape.set(open, n / known);
    known = n;
  }
  if (num_open > 1 || known != n || shape.elements() != n) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {} with {} elements, the shape is [{}]", str(v.in[0]), n,
                                        fmt::join(v.attrs.ints("shape"), ",")),
                 .expected = "as many elements, and at most one dim -1"});
  }
  return {{v.in[0].dtype, shape}};
}

std::vector<Tensor> grad(const ir::GradView& v) { return {reshape(v.d_out[0], v.in[0].shape())}; }

void reference(const ir::OpView&, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  out[0].data = in[0].data;
}

std::vector<ir::Sample> samples() {
  const auto to = [](const Shape& from, ir::Ints shape) {
    return ir::Sample{.in = {f32(from)}, .attrs = {{"shape", std::move(shape)}}};
  };
  std::vector<ir::Sample> list = with_16_bit({to({}, {1, 1}), to({1}, {}), to({3, 5, 7}, {7, 15}), to({17, 33}, {-1}),
                                              to({4, 6}, {2, -1, 3}), to({0, 4}, {2, 0})});
  list.push_back(to({4, 256, 2304}, {4, 256, 3, 12, 64}));
  list.back().shipped = true;
  return list;
}

}  // namespace

const OpDef reshape_op{.name = "reshape",
                       .doc = "the same elements under another shape",
                       .attrs = attrs,
                       .min_inputs = 1,
                       .max_inputs = 1,
                       .infer = infer,
                       .grad = grad,
                       .reference = reference,
                       .cpu = copy_cpu,
                       .view = [](const ir::OpView&, int) { return std::optional<int64_t>(0); },
                       .identity = identity_if_same_type,
                       .samples = samples,
                       .traits = {.cost = ir::CostClass::free, .in_place = true}};

Tensor reshape(Tensor x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const auto dims = shape.dims();
  return x.builder().emit1(reshape_op, {x}, {{"shape", ir::Ints(dims.begin(), dims.end())}});
}

}  // namespace ringmaster::ops
