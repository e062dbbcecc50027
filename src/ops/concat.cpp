// SPDX-License-Identifier: Apache-2.0
// concat: joins tensors along one dim.     dx_i = piece i of split(dy)
//   in  xs: one dtype, equal dims but for `dim`     out y     attrs dim.   errors: config if they do not fit.
#include "ops/defs.h"
#include "ops/moves.h"
#include "ops/ops.h"
#include "ops/reference.h"
#include "ops/samples.h"

#include <numeric>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"dim", int64_t{0}, true}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const auto dim = static_cast<int>(v.attrs.integer("dim"));
  ir::Type out = v.in[0];
  if (dim < 0 || dim >= out.shape.rank()) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("input 0 is {}, dim is {}", str(out), dim),
                 .expected = fmt::format("0 <= dim < {}", out.shape.rank())});
  }
  for (size_t i = 1; i < v.in.size(); ++i) {
    ir::Type other = v.in[i];
    const int64_t size = other.shape.rank() == out.shape.rank() ? other.shape[dim] : -1;
    if (size >= 0) other.shape.set(dim, out.shape[dim]);
    if (other != out) {
      throw Error({.kind = ErrorKind::config,
                   .message = fmt::format("input 0 is {}, input {} is {}", str(v.in[0]), i, str(v.in[i])),
                   .expected = fmt::format("one dtype, and equal dims but for dim {}", dim)});
    }
    out.shape.set(dim, out.shape[dim] + size);
  }
  return {out};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  const int64_t dim = v.attrs.integer("dim");
  std::vector<int64_t> sizes;
  for (const Tensor& x : v.in) sizes.push_back(x.dim(static_cast<int>(dim)));
  return split(v.d_out[0], dim, std::move(sizes));
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const auto dim = static_cast<size_t>(v.attrs.integer("dim"));
  int64_t begin = 0;
  for (size_t k = 0; k < in.size(); ++k) {
    for (size_t i = 0; i < in[k].data.size(); ++i) {
      auto index = unravel(v.in[k].shape, static_cast<int64_t>(i));
      index[dim] += begin;
      out[0].data[ravel(v.out[0].shape, index)] = in[k].data[i];
    }
    begin += v.in[k].shape[static_cast<int>(dim)];
  }
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const int64_t dim = v.attrs.integer("dim");
  const auto dims = v.out[0].shape.dims();
  const int64_t rows = std::accumulate(dims.begin(), dims.begin() + dim, int64_t{1}, std::multiplies<>());
  const int64_t unit =
      std::accumulate(dims.begin() + dim + 1, dims.end(), size_of(v.out[0].dtype), std::multiplies<>());
  std::vector<int64_t> bytes;
  for (const ir::Type& x : v.in) bytes.push_back(x.shape[static_cast<int>(dim)] * unit);
  return ir::make_kernel([=, pitch = v.out[0].shape[static_cast<int>(dim)] * unit](const ir::KernelArgs& args) {
    char* to = args.output<char>(0);
    for (size_t k = 0; k < bytes.size(); ++k) {
      copy_rows(to, pitch, args.input<char>(static_cast<int>(k)), bytes[k], rows, bytes[k], threads);
      to += bytes[k];
    }
  });
}

std::vector<ir::Sample> samples() {
  const auto join = [](std::vector<ir::Type> in, int64_t dim) {
    return ir::Sample{.in = std::move(in), .attrs = {{"dim", dim}}};
  };
  std::vector<ir::Sample> list =
      with_16_bit({join({f32({1})}, 0), join({f32({2}), f32({0}), f32({5})}, 0),
                   join({f32({3, 5, 7}), f32({2, 5, 7})}, 0), join({f32({3, 1, 7}), f32({3, 4, 7})}, 1),
                   join({f32({17, 16}), f32({17, 17})}, 1), join({f32({0, 2}), f32({0, 3})}, 1)});
  list.push_back(join({f32({1, 4, 12, 256, 64}), f32({1, 4, 12, 256, 64}), f32({1, 4, 12, 256, 64})}, 0));
  list.back().shipped = true;
  return list;
}

}  // namespace

const OpDef concat_op{.name = "concat",
                      .doc = "joins tensors along one dim",
                      .attrs = attrs,
                      .min_inputs = 1,
                      .max_inputs = -1,
                      .infer = infer,
                      .grad = grad,
                      .reference = reference,
                      .cpu = cpu,
                      .samples = samples};

Tensor concat(std::span<const Tensor> xs, int64_t dim) {
  CHECK(!xs.empty(), "concat of nothing");
  const int64_t positive = dim < 0 ? dim + xs.front().shape().rank() : dim;
  return xs.front().builder().emit(concat_op, xs, {{"dim", positive}}).front();
}

}  // namespace ringmaster::ops
