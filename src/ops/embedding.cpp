// SPDX-License-Identifier: Apache-2.0
// embedding: y_NC = table[ids_N]_C.     embedding_grad: dtable_VC = sum of dy_NC over the n with ids_n = v
//   in  table [V,C] f32, bf16, f16 or u16 (a half of split masters); ids i32[..] in [0, V): sources check them, the kernels trust them     out y [..,C] like table
//   embedding_grad: dy [..,C], ids -> f32[V,C]; a row's terms are added in the order of n, in f32
//   errors: config if table is not [V,C], ids are not i32, or dy does not belong to ids.
#include "backend/cpu/lanes.h"
#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/leaving.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::Type;

const ir::AttrSpec grad_attrs[] = {{"vocab", int64_t{0}, true, "rows of the table"}, into_sum_attr, on_grid_attr};

void require_ids(const Type& ids) {
  if (ids.dtype == DType::i32) return;
  throw Error({.kind = ErrorKind::config, .message = "ids are " + str(ids), .expected = "i32"});
}

std::vector<Type> infer(const OpView& v) {
  const Type &table = v.in[0], &ids = v.in[1];
  if (table.dtype != DType::u16) require_float(table, "table");
  require_ids(ids);
  if (table.shape.rank() != 2) {
    throw Error({.kind = ErrorKind::config, .message = "table is " + str(table), .expected = "two dims, [V,C]"});
  }
  Shape y = ids.shape;
  y.push_back(table.shape[1]);
  return {{table.dtype, y}};
}

std::vector<Type> infer_grad(const OpView& v) {
  const Type &dy = v.in[0], &ids = v.in[1];
  require_float(dy, "dy");
  require_ids(ids);
  const int rank = ids.shape.rank();
  if (dy.shape.rank() != rank + 1 || !(Shape(dy.shape.dims().first(static_cast<size_t>(rank))) == ids.shape)) {
    throw Error({.kind = ErrorKind::config,
                 .message = "dy is " + str(dy) + ", ids are " + str(ids) + "; dy is [..,C] of ids [..]"});
  }
  return leaves_grain(v, 0, {f32({v.attrs.integer("vocab"), dy.shape.dim(-1)})});
}

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor table = v.in[0];
  const Tensor d = table.builder().emit1(embedding_grad_op, {v.d_out[0], v.in[1]}, {{"vocab", table.dim(0)}});
  return {cast(d, table.dtype()), {}};
}

std::vector<Tensor> grad_grad(const ir::GradView& v) {
  const Tensor dy = v.in[0], d = embedding(v.d_out[0], v.in[1]);
  return {cast(d, dy.dtype()), {}};
}

size_t row_of(double id, int64_t rows) {
  CHECK(id >= 0 && id < static_cast<double>(rows), "id {} of a table with {} rows", id, rows);
  return static_cast<size_t>(id);
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const size_t c = static_cast<size_t>(v.in[0].shape[1]);
  for (size_t n = 0; n < in[1].data.size(); ++n) {
    const size_t row = row_of(in[1].data[n], v.in[0].shape[0]);
    for (size_t j = 0; j < c; ++j) out[0].data[n * c + j] = in[0].data[row * c + j];
  }
}

void reference_grad(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  const size_t c = static_cast<size_t>(v.out[0].shape[1]);
  for (size_t n = 0; n < in[1].data.size(); ++n) {
    const size_t row = row_of(in[1].data[n], v.out[0].shape[0]);
    for (size_t j = 0; j < c; ++j) out[0].data[row * c + j] += in[0].data[n * c + j];
  }
  leave_reference(v, 0, in, out);
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const int64_t rows = v.in[1].shape.elements(), bytes = v.in[0].shape[1] * size_of(v.in[0].dtype);
  threads = threads_for(v.out[0].shape.elements(), threads);
  return ir::make_kernel([=](const ir::KernelArgs& a) {
    const auto* ids = a.input<int32_t>(1);
    backend::parallel_for(threads, rows, [&](int64_t n) {
      std::memcpy(a.output<char>(0) + n * bytes, a.input<char>(0) + ids[n] * bytes, static_cast<size_t>(bytes));
    });
  });
}

// The sum of the rows of dy that `tokens` name goes to `row`.
template <typename T>
void add_row(const T* dy, std::span<const uint64_t> tokens, int64_t c, float* row, const backend::Fold& fold) {
  constexpr int64_t piece = 512;
  for (int64_t begin = 0; begin < c; begin += piece) {
    alignas(64) float sums[piece];
    const int64_t length = std::min(piece, c - begin);
    backend::for_lanes(length, [&](int64_t j, int64_t count) {
      backend::Lanes sum(0.0F);
      for (const uint64_t token : tokens)
        sum = sum + backend::load(dy + static_cast<int64_t>(token & 0xffffffffU) * c + begin + j, count);
      backend::store(sums + j, sum, count);
    });
    fold(sums, row + begin, length);
  }
}

// The tokens by id, each id's in their own order: a row is one task, finished before it is stored or added.
std::unique_ptr<ir::Kernel> cpu_grad(const OpView& v, int threads) {
  const int64_t rows = v.in[1].shape.elements(), vocab = v.out[0].shape[0], c = v.out[0].shape[1];
  threads = threads_for(std::max(vocab, rows) * c, threads);
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel(
        [=, leaving = Leaving(v)](const ir::KernelArgs& a) {
          const auto* ids = a.input<int32_t>(1);
          auto* table = a.output<float>(0);
          const std::span tokens(static_cast<uint64_t*>(a.scratch), static_cast<size_t>(rows));
          for (size_t n = 0; n < tokens.size(); ++n) tokens[n] = (static_cast<uint64_t>(ids[n]) << 32) | n;
          std::ranges::sort(tokens);
          leaving.run(a, [&](const backend::Fold& fold) {
            if (!fold.add)
              backend::parallel_for(threads, vocab, [&](int64_t row) { std::fill_n(table + row * c, c, 0.0F); });
            backend::parallel_tasks(threads, (rows + 7) / 8, [&](int64_t task, int) {
              const auto begin = static_cast<size_t>(task * 8);
              for (size_t first = begin; first < std::min(begin + 8, tokens.size()); ++first) {
                const uint64_t id = tokens[first] >> 32;
                if (first > 0 && tokens[first - 1] >> 32 == id) continue;
                size_t end = first + 1;
                while (end < tokens.size() && tokens[end] >> 32 == id) ++end;
                add_row(a.input<T>(0), tokens.subspan(first, end - first), c, table + static_cast<int64_t>(id) * c,
                        fold);
              }
            });
          });
        },
        rows * static_cast<int64_t>(sizeof(uint64_t)));
  });
}

struct Case {
  int64_t vocab, width;
  Shape ids;
  bool shipped = false;
};
const Case cases[] = {{1, 1, {}},
                      {5, 3, {7}},
                      {17, 33, {3, 5}},
                      {4, 16, {33}},
                      {3, 2, {0}},
                      {256, 128, {3, 64}, true},
                      {256, 192, {4, 128}, true},
                      {50304, 768, {4, 256}, true}};

ir::Fill ids_below(int64_t vocab) { return {.kind = ir::Fill::ids, .low = 0.0, .high = static_cast<double>(vocab)}; }

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (const Case& c : cases)
    list.push_back(
        {.in = {f32({c.vocab, c.width}), i32(c.ids)}, .fill = {{}, ids_below(c.vocab)}, .shipped = c.shipped});
  list = with_16_bit(std::move(list));
  list.push_back({.in = {{DType::u16, {17, 33}}, i32({3, 5})}, .fill = {ids_below(65536), ids_below(17)}});
  return list;
}

std::vector<ir::Sample> samples_grad() {
  std::vector<ir::Sample> list;
  for (const Case& c : cases) {
    Shape dy = c.ids;
    dy.push_back(c.width);
    list.push_back({.in = {f32(dy), i32(c.ids)},
                    .attrs = {{"vocab", c.vocab}},
                    .fill = {{}, ids_below(c.vocab)},
                    .shipped = c.shipped});
  }
  return with_16_bit(std::move(list));
}

}  // namespace

const OpDef embedding_op{.name = "embedding",
                         .doc = "table [V,C], ids i32[..] -> [..,C]",
                         .min_inputs = 2,
                         .max_inputs = 2,
                         .infer = infer,
                         .grad = grad,
                         .reference = reference,
                         .cpu = cpu,
                         .samples = samples,
                         .traits = {.gathers = true}};

const OpDef embedding_grad_op{.name = "embedding_grad",
                              .doc = "dy [..,C], ids i32[..] -> f32[V,C]",
                              .attrs = grad_attrs,
                              .min_inputs = 2,
                              .max_inputs = 3,
                              .infer = infer_grad,
                              .grad = grad_grad,
                              .reference = reference_grad,
                              .cpu = cpu_grad,
                              .samples = samples_grad,
                              .traits = {.sparse = true, .sums = 0}};

Tensor embedding(Tensor table, Tensor ids) { return table.builder().emit1(embedding_op, {table, ids}); }

}  // namespace ringmaster::ops
