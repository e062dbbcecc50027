// SPDX-License-Identifier: Apache-2.0
// split: cuts x along one dim into pieces of the given sizes.     dx = concat(dy)
//   in  x: any dtype     out pieces in order, views of x where every dim before `dim` is 1     attrs dim, sizes
//   errors: config if the sizes do not add up to the dim.
#include "ops/defs.h"
#include "ops/moves.h"
#include "ops/ops.h"
#include "ops/reference.h"
#include "ops/samples.h"

#include <numeric>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"dim", int64_t{0}, true}, {"sizes", ir::Ints{}, true}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const ir::Type& x = v.in[0];
  const int64_t dim = v.attrs.integer("dim");
  const ir::Ints& sizes = v.attrs.ints("sizes");
  if (dim < 0 || dim >= x.shape.rank()) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {}, dim is {}", str(x), dim),
                 .expected = fmt::format("0 <= dim < {}", x.shape.rank())});
  }
  const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  const bool negative = std::any_of(sizes.begin(), sizes.end(), [](int64_t s) { return s < 0; });
  if (sizes.empty() || negative || total != x.shape[static_cast<int>(dim)]) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {}, the sizes [{}] along dim {} add up to {}", str(x),
                                        fmt::join(sizes, ","), dim, total),
                 .expected = fmt::format("{}", x.shape[static_cast<int>(dim)])});
  }
  std::vector<ir::Type> out;
  for (const int64_t size : sizes) {
    out.push_back(x);
    out.back().shape.set(static_cast<int>(dim), size);
  }
  return out;
}

std::vector<Tensor> grad(const ir::GradView& v) {
  std::vector<Tensor> pieces(v.d_out.begin(), v.d_out.end());
  for (size_t i = 0; i < pieces.size(); ++i)
    if (!pieces[i].valid()) pieces[i] = full(v.in[0].builder(), v.out[i].type(), 0.0);
  return {concat(pieces, v.attrs.integer("dim"))};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const auto dim = static_cast<size_t>(v.attrs.integer("dim"));
  int64_t begin = 0;
  for (size_t k = 0; k < out.size(); ++k) {
    for (size_t i = 0; i < out[k].data.size(); ++i) {
      auto index = unravel(v.out[k].shape, static_cast<int64_t>(i));
      index[dim] += begin;
      out[k].data[i] = in[0].data[ravel(v.in[0].shape, index)];
    }
    begin += v.attrs.ints("sizes")[k];
  }
}

// elements before and after `dim`
int64_t outer_of(const Shape& shape, int64_t dim) {
  return std::accumulate(shape.dims().begin(), shape.dims().begin() + dim, int64_t{1}, std::multiplies<>());
}
int64_t inner_of(const Shape& shape, int64_t dim) {
  return std::accumulate(shape.dims().begin() + dim + 1, shape.dims().end(), int64_t{1}, std::multiplies<>());
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const Shape& shape = v.in[0].shape;
  const int64_t dim = v.attrs.integer("dim"), rows = outer_of(shape, dim);
  const int64_t unit = inner_of(shape, dim) * size_of(v.in[0].dtype), pitch = shape[static_cast<int>(dim)] * unit;
  return ir::make_kernel([=, sizes = v.attrs.ints("sizes")](const ir::KernelArgs& args) {
    const char* from = args.input<char>(0);
    for (size_t k = 0; k < sizes.size(); ++k) {
      const int64_t bytes = sizes[k] * unit;
      copy_rows(args.output<char>(static_cast<int>(k)), bytes, from, pitch, rows, bytes, threads);
      from += bytes;
    }
  });
}

std::optional<int64_t> view(const ir::OpView& v, int index) {
  const int64_t dim = v.attrs.integer("dim");
  if (outer_of(v.in[0].shape, dim) != 1) return std::nullopt;
  const ir::Ints& sizes = v.attrs.ints("sizes");
  return std::accumulate(sizes.begin(), sizes.begin() + index, int64_t{0}) * inner_of(v.in[0].shape, dim) *
         size_of(v.in[0].dtype);
}

std::vector<ir::Sample> samples() {
  const auto cut = [](const Shape& x, int64_t dim, ir::Ints sizes) {
    return ir::Sample{.in = {f32(x)}, .attrs = {{"dim", dim}, {"sizes", std::move(sizes)}}};
  };
  std::vector<ir::Sample> list =
      with_16_bit({cut({1}, 0, {1}), cut({7}, 0, {2, 0, 5}), cut({3, 5, 7}, 0, {1, 2}), cut({3, 5, 7}, 1, {3, 1, 1}),
                   cut({3, 5, 7}, 2, {4, 3}), cut({1, 1, 33}, 2, {17, 16}), cut({0, 4}, 1, {1, 3})});
  for (const ir::Sample& s : {cut({3, 4, 12, 256, 64}, 0, {1, 1, 1}), cut({4, 256, 2304}, 2, {768, 768, 768})}) {
    list.push_back(s);
    list.back().shipped = true;
  }
  return list;
}

}  // namespace

const OpDef split_op{.name = "split",
                     .doc = "cuts x along one dim into pieces of the given sizes",
                     .attrs = attrs,
                     .min_inputs = 1,
                     .max_inputs = 1,
                     .infer = infer,
                     .grad = grad,
                     .reference = reference,
                     .cpu = cpu,
                     .view = view,
                     .samples = samples};

std::vector<Tensor> split(Tensor x, int64_t dim, std::vector<int64_t> sizes) {
  const int64_t positive = dim < 0 ? dim + x.shape().rank() : dim;
  return x.builder().emit(split_op, std::span(&x, 1), {{"dim", positive}, {"sizes", std::move(sizes)}});
}

}  // namespace ringmaster::ops
