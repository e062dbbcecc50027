// SPDX-License-Identifier: Apache-2.0
// update_slice: y = state, but for y[.., position + s, :] = x[.., s, :]. A decoder's cache takes a token's keys this way.
//   in  state [..,T,D], x [..,S,D] with equal leading dims, any dtype; position i32[] in [0, T - S]: who sets the scalar checks it
//   out y like state, over it where it dies: then S rows of each leading index are all that moves
//   errors: config if x is not a slice of state or position is no i32 scalar.
#include "ops/defs.h"
#include "ops/moves.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::Type;

std::vector<Type> infer(const OpView& v) {
  const Type &state = v.in[0], &x = v.in[1];
  Type fits = x;
  const bool deep = state.shape.rank() >= 2 && x.shape.rank() == state.shape.rank();
  if (deep) fits.shape.set(-2, state.shape.dim(-2));
  if (!deep || fits != state || x.shape.dim(-2) > state.shape.dim(-2)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("state is {}, x is {}", str(state), str(x)),
                 .expected = "state [..,T,D] and x [..,S,D] of one dtype, S at most T"});
  }
  if (!(v.in[2] == i32({}))) {
    throw Error({.kind = ErrorKind::config, .message = "position is " + str(v.in[2]), .expected = "i32[]"});
  }
  return {state};
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const int64_t T = v.in[0].shape.dim(-2), S = v.in[1].shape.dim(-2), D = v.in[0].shape.dim(-1);
  const auto position = static_cast<int64_t>(in[2].data[0]);
  CHECK(position >= 0 && position + S <= T, "rows {}..{} of {}", position, position + S, T);
  out[0].data = in[0].data;
  for (int64_t i = 0; i < v.in[1].shape.elements(); ++i) {
    const int64_t outer = i / (S * D), row = i / D % S, column = i % D;
    out[0].data[static_cast<size_t>((outer * T + position + row) * D + column)] = in[1].data[static_cast<size_t>(i)];
  }
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const int64_t row = v.in[0].shape.dim(-1) * size_of(v.in[0].dtype);
  const int64_t pitch = v.in[0].shape.dim(-2) * row, slice = v.in[1].shape.dim(-2) * row;
  const int64_t outer = pitch == 0 ? 0 : v.in[0].bytes() / pitch;
  return ir::make_kernel([=, copy = std::shared_ptr<ir::Kernel>(copy_cpu(v, threads))](const ir::KernelArgs& a) {
    copy->run(a);  // nothing where y is the state
    copy_rows(a.output<char>(0) + *a.input<int32_t>(2) * row, pitch, a.input<char>(1), slice, outer, slice, threads);
  });
}

std::vector<ir::Sample> samples() {
  const auto slice = [](const Shape& state, int64_t rows, bool shipped = false) {
    Shape x = state;
    x.set(-2, rows);
    const ir::Fill position{.kind = ir::Fill::ids, .low = 0.0, .high = static_cast<double>(state.dim(-2) - rows + 1)};
    return ir::Sample{.in = {f32(state), f32(x), i32({})}, .fill = {{}, {}, position}, .shipped = shipped};
  };
  return with_16_bit({slice({1, 1}, 1), slice({5, 3}, 2), slice({5, 3}, 5), slice({2, 3, 7, 5}, 1), slice({0, 4, 2}, 1),
                      slice({1, 2, 33, 17}, 3), slice({1, 4, 64, 32}, 1, true), slice({1, 12, 256, 64}, 1, true)});
}

}  // namespace

const OpDef update_slice_op{.name = "update_slice",
                            .doc = "state [..,T,D], x [..,S,D], position i32[] -> state with x as its rows position..",
                            .min_inputs = 3,
                            .max_inputs = 3,
                            .infer = infer,
                            .reference = reference,
                            .cpu = cpu,
                            .samples = samples,
                            .traits = {.in_place = true, .differentiable = false}};

Tensor update_slice(Tensor state, Tensor x, Tensor position) {
  return state.builder().emit1(update_slice_op, {state, x, position});
}

}  // namespace ringmaster::ops
