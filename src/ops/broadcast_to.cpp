// SPDX-License-Identifier: Apache-2.0
// broadcast_to: x repeated along new dims and dims of size 1 (NumPy rules).     dx = dy summed over these
//   in  x: any dtype     out y of `shape`     attrs shape.   errors: config if x does not broadcast to the shape.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/reference.h"
#include "ops/samples.h"
#include "ops/walk.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"shape", ir::Ints{}, true}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const Shape shape(v.attrs.ints("shape"));
  if (!broadcasts_to(v.in[0].shape, shape)) {
    throw Error({.kind = ErrorKind::config,
                 .message = "x is " + str(v.in[0]) + ", the shape is " + str(shape),
                 .expected = "equal dims, or 1 in x, counted from the last"});
  }
  return {{v.in[0].dtype, shape}};
}

std::vector<Tensor> grad(const ir::GradView& v) { return {sum_to(v.d_out[0], v.in[0].shape())}; }

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  for (size_t i = 0; i < out[0].data.size(); ++i)
    out[0].data[i] = in[0].data[ravel_broadcast(v.in[0].shape, unravel(v.out[0].shape, static_cast<int64_t>(i)))];
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const Walk<1> walk = walk_broadcast<1>(v.out[0].shape, {v.in[0].shape});
  return with_bytes(size_of(v.in[0].dtype), [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& args) {
      const T* x = args.input<T>(0);
      T* y = args.output<T>(0);
      for_rows(walk, threads, [&](const std::array<int64_t, 1>& at, int64_t to, int64_t n) {
        if (walk.inner_stride(0) == 0) {
          std::fill_n(y + to, n, x[at[0]]);
        } else {
          std::copy_n(x + at[0], n, y + to);
        }
      });
    });
  });
}

std::vector<ir::Sample> samples() {
  const auto to = [](const Shape& from, ir::Ints shape) {
    return ir::Sample{.in = {f32(from)}, .attrs = {{"shape", std::move(shape)}}};
  };
  std::vector<ir::Sample> list =
      with_16_bit({to({}, {}), to({}, {3, 5}), to({1}, {17}), to({7}, {3, 5, 7}), to({3, 1}, {3, 33}),
                   to({4, 1, 3, 1}, {2, 4, 5, 3, 2}), to({1, 3}, {0, 3})});
  list.push_back(to({256, 768}, {4, 256, 768}));
  list.back().shipped = true;
  return list;
}

}  // namespace

const OpDef broadcast_to_op{.name = "broadcast_to",
                            .doc = "x repeated along new dims and dims of size 1",
                            .attrs = attrs,
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .infer = infer,
                            .grad = grad,
                            .reference = reference,
                            .cpu = cpu,
                            .identity = identity_if_same_type,
                            .samples = samples};

Tensor broadcast_to(Tensor x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const auto dims = shape.dims();
  return x.builder().emit1(broadcast_to_op, {x}, {{"shape", ir::Ints(dims.begin(), dims.end())}});
}

}  // namespace ringmaster::ops
