// SPDX-License-Identifier: Apache-2.0
// transpose: permutes dims, out.dim(i) = x.dim(order[i]).     dx = dy with the inverse order
//   in  x: any dtype     out y     attrs order, a permutation of 0..rank-1
//   Where the last dim stays last (the head shuffles of attention), rows are copied; else square tiles of one cache line go
//   through a small buffer, so that memory is read and written in whole lines.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/reference.h"
#include "ops/samples.h"
#include "ops/walk.h"

#include <numeric>

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"order", ir::Ints{}, true}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const ir::Ints& order = v.attrs.ints("order");
  ir::Ints sorted = order, expected(static_cast<size_t>(v.in[0].shape.rank()));
  std::sort(sorted.begin(), sorted.end());
  std::iota(expected.begin(), expected.end(), 0);
  if (sorted != expected) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("x is {}, the order is [{}]", str(v.in[0]), fmt::join(order, ",")),
                 .expected = fmt::format("a permutation of [{}]", fmt::join(expected, ","))});
  }
  Shape shape;
  for (const int64_t d : order) shape.push_back(v.in[0].shape[static_cast<int>(d)]);
  return {{v.in[0].dtype, shape}};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  const ir::Ints& order = v.attrs.ints("order");
  ir::Ints inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i) inverse[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  return {transpose(v.d_out[0], inverse)};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const ir::Ints& order = v.attrs.ints("order");
  for (size_t i = 0; i < out[0].data.size(); ++i) {
    const auto index = unravel(v.out[0].shape, static_cast<int64_t>(i));
    std::vector<int64_t> source(index.size());
    for (size_t d = 0; d < index.size(); ++d) source[static_cast<size_t>(order[d])] = index[d];
    out[0].data[i] = in[0].data[ravel(v.in[0].shape, source)];
  }
}

// The output's last dim ("column", stride 1 there) and the dim with stride 1 in the input ("row"), with the dims around them.
struct Tiles {
  Walk<1> outer;            // every other dim: strides in the input
  Walk<1> outer_to;         // the same dims: strides in the output
  int64_t rows, row_to;     // stride 1 in the input, row_to in the output
  int64_t columns, column;  // stride `column` in the input, 1 in the output
};

Tiles tiles_of(const Walk<1>& walk) {
  Tiles t{};
  std::array<int64_t, Shape::max_rank> to{};
  int64_t stride = 1;
  for (int d = walk.rank - 1; d >= 0; --d) {
    to[static_cast<size_t>(d)] = stride;
    stride *= walk.dims[static_cast<size_t>(d)];
  }
  for (int d = 0; d < walk.rank; ++d) {
    const auto dim = static_cast<size_t>(d);
    if (d == walk.rank - 1) {
      t.columns = walk.dims[dim];
      t.column = walk.strides[0][dim];
    } else if (walk.strides[0][dim] == 1) {
      t.rows = walk.dims[dim];
      t.row_to = to[dim];
    } else {
      // not push(): the two lists of strides must keep the same dims
      const auto at = static_cast<size_t>(t.outer.rank++);
      t.outer.dims[at] = walk.dims[dim];
      t.outer.strides[0][at] = walk.strides[0][dim];
      t.outer_to.strides[0][at] = to[dim];
      t.outer.elements = at == 0 ? walk.dims[dim] : t.outer.elements * walk.dims[dim];
    }
  }
  return t;
}

template <typename T> void move_tile(const T* x, int64_t column, T* y, int64_t row_to, int64_t rows, int64_t columns) {
  constexpr int64_t side = 64 / static_cast<int64_t>(sizeof(T));
  T buffer[side][side];
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r) buffer[r][c] = x[c * column + r];
  for (int64_t r = 0; r < rows; ++r) std::copy_n(buffer[r], columns, y + r * row_to);
}

template <typename T> void move_tiles(const Tiles& t, const T* x, T* y, int threads) {
  constexpr int64_t side = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t across = (t.columns + side - 1) / side, down = (t.rows + side - 1) / side;
  const int64_t tasks = t.outer.elements * down * across;
  backend::parallel_for(threads_for(t.outer.elements * t.rows * t.columns, threads), tasks, [&](int64_t task) {
    const int64_t c = task % across * side, r = task / across % down * side;
    int64_t index = task / (across * down), from = c * t.column + r, to = r * t.row_to + c;
    for (int d = t.outer.rank - 1; d >= 0; --d) {
      const auto dim = static_cast<size_t>(d);
      from += index % t.outer.dims[dim] * t.outer.strides[0][dim];
      to += index % t.outer.dims[dim] * t.outer_to.strides[0][dim];
      index /= t.outer.dims[dim];
    }
    move_tile(x + from, t.column, y + to, t.row_to, std::min(side, t.rows - r), std::min(side, t.columns - c));
  });
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const std::vector<int64_t> strides = v.in[0].shape.strides();
  Walk<1> walk;
  for (size_t i = 0; i < strides.size(); ++i)
    walk.push(v.out[0].shape[static_cast<int>(i)], {strides[static_cast<size_t>(v.attrs.ints("order")[i])]});
  walk.finish();
  return with_bytes(size_of(v.in[0].dtype), [&]<typename T>(T) -> std::unique_ptr<ir::Kernel> {
    if (walk.elements == 0) return ir::make_kernel([](const ir::KernelArgs&) {});
    if (walk.inner_stride(0) == 1) {
      return ir::make_kernel([=](const ir::KernelArgs& args) {
        for_rows(walk, threads, [&](const std::array<int64_t, 1>& at, int64_t to, int64_t n) {
          std::copy_n(args.input<T>(0) + at[0], n, args.output<T>(0) + to);
        });
      });
    }
    return ir::make_kernel([=, tiles = tiles_of(walk)](const ir::KernelArgs& args) {
      move_tiles(tiles, args.input<T>(0), args.output<T>(0), threads);
    });
  });
}

std::vector<ir::Sample> samples() {
  const auto by = [](const Shape& from, ir::Ints order) {
    return ir::Sample{.in = {f32(from)}, .attrs = {{"order", std::move(order)}}};
  };
  std::vector<ir::Sample> list = with_16_bit(
      {by({}, {}), by({3}, {0}), by({3, 5}, {1, 0}), by({17, 33}, {1, 0}), by({3, 5, 7}, {2, 0, 1}),
       by({3, 5, 7}, {0, 2, 1}), by({3, 5, 7}, {2, 1, 0}), by({1, 5, 1}, {2, 0, 1}),
       by({2, 5, 3, 4, 6}, {2, 0, 3, 1, 4}), by({2, 3, 2, 3, 2, 3}, {5, 1, 3, 0, 4, 2}), by({3, 0, 2}, {2, 1, 0})});
  list.push_back({.in = {i32({33, 17})}, .attrs = {{"order", ir::Ints{1, 0}}}});
  for (const ir::Sample& s : {by({4, 256, 3, 12, 64}, {2, 0, 3, 1, 4}), by({4, 12, 256, 64}, {0, 2, 1, 3}),
                              by({4, 12, 256, 64}, {0, 1, 3, 2}), by({768, 2304}, {1, 0})}) {
    list.push_back(s);
    list.back().shipped = true;
  }
  return list;
}

std::optional<int> identity(const ir::OpView& v) {
  const auto& order = v.attrs.ints("order");
  return std::is_sorted(order.begin(), order.end()) ? std::optional<int>(0) : std::nullopt;
}

}  // namespace

const OpDef transpose_op{.name = "transpose",
                         .doc = "permutes dims: out.dim(i) = x.dim(order[i])",
                         .attrs = attrs,
                         .min_inputs = 1,
                         .max_inputs = 1,
                         .infer = infer,
                         .grad = grad,
                         .reference = reference,
                         .cpu = cpu,
                         .identity = identity,
                         .samples = samples};

Tensor transpose(Tensor x, std::vector<int64_t> order) {
  return x.builder().emit1(transpose_op, {x}, {{"order", std::move(order)}});
}

}  // namespace ringmaster::ops
