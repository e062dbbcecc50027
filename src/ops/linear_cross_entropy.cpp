// SPDX-License-Identifier: Apache-2.0
// linear_cross_entropy: loss_N = cross_entropy(x_NC W_VC^T, target_N), in nats, without the logits of all rows at once.
//   in  x f32, bf16 or f16 [..,C]; W [V,C] of x's dtype; targets i32[..] in [0, V)     out loss f32[..]
//   grad: dlogits_NV = d_loss_N (p_NV - [v = target_N]) rounded to x's dtype; dx = dlogits W, dW = dlogits^T x
//   chunk  rows: three products, and one pass over the logits of 256 rows gives loss and gradients: once the gradient is there,
//          the node of the loss alone has nothing left to do (`recomputes`)
//          vocabulary: four products, slices of the classes; the logits are computed once more from the saved loss
//   linear_cross_entropy_rows_grad        x, W, targets, d_loss -> loss, dx like x, dW f32
//   linear_cross_entropy_vocabulary_grad  x, W, targets, loss, d_loss -> dx like x, dW f32
//   dW is f32 whatever x is: it is on its way to a sum over grains. Slices of the vocabulary are finished before they are added there; rows
//   add to one dW, which is that sum only where there is one grain.      numerics: backend/cpu/loss_head.h
//   errors: config if C, leading dims or dtypes do not fit, or there is no class or no channel.
#include "backend/cpu/loss_head.h"
#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/leaving.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cmath>

namespace ringmaster::ops {
namespace {

using backend::LossHeadSpec;
using ir::OpView;
using ir::Type;

const ir::AttrSpec grad_attrs[] = {into_sum_attr, on_grid_attr};
const ir::AttrSpec attrs[] = {
    {"chunk", std::string("rows"), false, "rows or vocabulary: how the gradient goes about it"}};

[[noreturn]] void refuse(const OpView& v, const std::string& why) {
  throw Error({.kind = ErrorKind::config,
               .message = "x is " + str(v.in[0]) + ", weight is " + str(v.in[1]) + ", targets are " + str(v.in[2]) +
                          "; " + why});
}

Type loss_type(const OpView& v) {
  const Type &x = v.in[0], &weight = v.in[1], &targets = v.in[2];
  require_float(x, "x");
  if (weight.dtype != x.dtype) refuse(v, "the dtypes of x and weight differ; cast one of them");
  const int rank = x.shape.rank();
  if (rank < 1 || weight.shape.rank() != 2 || weight.shape[1] != x.shape.dim(-1))
    refuse(v, "weight is [V,C] of x [..,C]");
  if (weight.shape[0] < 1 || weight.shape[1] < 1) refuse(v, "there is a class and a channel");
  if (targets.dtype != DType::i32 || targets.shape != Shape(x.shape.dims().first(static_cast<size_t>(rank - 1))))
    refuse(v, "targets are i32[..] of x [..,C]");
  return f32(targets.shape);
}

void require_like_loss(const OpView& v, const Type& loss) {
  const size_t end = inputs_before_grid(v);
  for (size_t i = 3; i < end; ++i) {
    if (v.in[i] == loss) continue;
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} is {}", i == 3 && end == 5 ? "loss" : "d_loss", str(v.in[i])),
                 .expected = str(loss)});
  }
}

std::vector<Type> infer(const OpView& v) {
  const std::string& chunk = v.attrs.text("chunk");
  if (chunk != "rows" && chunk != "vocabulary") {
    throw Error({.kind = ErrorKind::config,
                 .message = "chunk is `" + chunk + "`",
                 .found = chunk,
                 .expected = "rows or vocabulary"});
  }
  return {loss_type(v)};
}

std::vector<Type> infer_rows_grad(const OpView& v) {
  const Type loss = loss_type(v);
  require_like_loss(v, loss);
  return leaves_grain(v, 2, {loss, v.in[0], f32(v.in[1].shape)});
}

std::vector<Type> infer_vocabulary_grad(const OpView& v) {
  require_like_loss(v, loss_type(v));
  return leaves_grain(v, 1, {v.in[0], f32(v.in[1].shape)});
}

std::vector<Tensor> grad(const ir::GradView& v) {
  ir::Builder& b = v.in[0].builder();
  if (v.attrs.text("chunk") == "rows") {
    const std::vector<Tensor> in{v.in[0], v.in[1], v.in[2], v.d_out[0]};
    const std::vector<Tensor> out = b.emit(linear_cross_entropy_rows_grad_op, in);
    return {out[1], out[2], {}};
  }
  const std::vector<Tensor> in{v.in[0], v.in[1], v.in[2], v.out[0], v.d_out[0]};
  const std::vector<Tensor> out = b.emit(linear_cross_entropy_vocabulary_grad_op, in);
  return {out[0], out[1], {}};
}

// ---- primitives, over flat rows and in f32
struct Flat {
  Tensor x, weight, targets, logits;
  explicit Flat(std::span<const Tensor> in)
      : x(cast(reshape(in[0], {rows(in), in[0].dim(-1)}), DType::f32)),
        weight(cast(in[1], DType::f32)),
        targets(reshape(in[2], {rows(in)})),
        logits(matmul(x, weight, {.transpose_b = true})) {}
  static int64_t rows(std::span<const Tensor> in) { return in[2].shape().elements(); }
  Tensor number(Tensor t) const { return reshape(t, targets.shape()); }  // one a row
};

std::vector<Tensor> decompose(const ir::Attrs&, std::span<const Tensor> in) {
  const Flat flat(in);
  return {reshape(cross_entropy(flat.logits, flat.targets), in[2].shape())};
}

std::vector<Tensor> gradients(std::span<const Tensor> in, const Flat& flat, Tensor loss, Tensor d_loss) {
  const Tensor d = flat.x.builder().emit1(cross_entropy_grad_op,
                                          {flat.logits, flat.targets, flat.number(loss), flat.number(d_loss)});
  return {cast(reshape(matmul(d, flat.weight), in[0].shape()), in[0].dtype()),
          matmul(d, flat.x, {.transpose_a = true})};
}

std::vector<Tensor> decompose_rows_grad(const ir::Attrs&, std::span<const Tensor> in) {
  const Flat flat(in);
  const Tensor loss = reshape(cross_entropy(flat.logits, flat.targets), in[2].shape());
  std::vector<Tensor> out = gradients(in, flat, loss, in[3]);
  out.insert(out.begin(), loss);
  return out;
}

std::vector<Tensor> decompose_vocabulary_grad(const ir::Attrs&, std::span<const Tensor> in) {
  return gradients(in, Flat(in), in[3], in[4]);
}

// ---- f64
struct Problem {
  size_t rows, width, classes;
  explicit Problem(const OpView& v)
      : rows(static_cast<size_t>(v.in[2].shape.elements())),
        width(static_cast<size_t>(v.in[1].shape[1])),
        classes(static_cast<size_t>(v.in[1].shape[0])) {}
};

std::vector<double> logits_of(const Problem& p, std::span<const ir::RefTensor> in, size_t row) {
  std::vector<double> logits(p.classes);
  for (size_t v = 0; v < p.classes; ++v)
    for (size_t c = 0; c < p.width; ++c) logits[v] += in[0].data[row * p.width + c] * in[1].data[v * p.width + c];
  return logits;
}

size_t target_of(const Problem& p, std::span<const ir::RefTensor> in, size_t row) {
  const double target = in[2].data[row];
  CHECK(target >= 0 && target < static_cast<double>(p.classes), "target {} of {} classes", target, p.classes);
  return static_cast<size_t>(target);
}

double loss_of(const std::vector<double>& logits, size_t target) {
  double top = logits[0], total = 0.0;
  for (const double x : logits) top = std::max(top, x);
  for (const double x : logits) total += std::exp(x - top);
  return std::log(total) + top - logits[target];
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const Problem p(v);
  for (size_t n = 0; n < p.rows; ++n) out[0].data[n] = loss_of(logits_of(p, in, n), target_of(p, in, n));
}

void add_gradients(const Problem& p, std::span<const ir::RefTensor> in, size_t row, double loss, double d_loss,
                   std::vector<double>& dx, std::vector<double>& dweight) {
  const std::vector<double> logits = logits_of(p, in, row);
  const size_t target = target_of(p, in, row);
  for (size_t v = 0; v < p.classes; ++v) {
    const double d = d_loss * (std::exp(logits[v] - logits[target] - loss) - (v == target ? 1.0 : 0.0));
    for (size_t c = 0; c < p.width; ++c) {
      dx[row * p.width + c] += d * in[1].data[v * p.width + c];
      dweight[v * p.width + c] += d * in[0].data[row * p.width + c];
    }
  }
}

void reference_rows_grad(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                         const ir::RunContext&) {
  const Problem p(v);
  for (size_t n = 0; n < p.rows; ++n) {
    out[0].data[n] = loss_of(logits_of(p, in, n), target_of(p, in, n));
    add_gradients(p, in, n, out[0].data[n], in[3].data[n], out[1].data, out[2].data);
  }
  leave_reference(v, 2, in, out);
}

void reference_vocabulary_grad(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                               const ir::RunContext&) {
  const Problem p(v);
  for (size_t n = 0; n < p.rows; ++n) add_gradients(p, in, n, in[3].data[n], in[4].data[n], out[0].data, out[1].data);
  leave_reference(v, 1, in, out);
}

// ---- kernels
template <LossHeadSpec::Kind kind> std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  auto head = std::make_unique<backend::LossHead>(LossHeadSpec{.kind = kind,
                                                               .n = v.in[2].shape.elements(),
                                                               .width = v.in[1].shape[1],
                                                               .classes = v.in[1].shape[0],
                                                               .dtype = v.in[0].dtype},
                                                  threads);
  const int64_t scratch = head->scratch_bytes();
  std::optional<Leaving> leaving;
  if constexpr (kind != LossHeadSpec::loss) leaving.emplace(v);
  return ir::make_kernel(
      [head = std::move(head), leaving = std::move(leaving)](const ir::KernelArgs& a) {
        backend::LossHeadArgs args{.x = a.in[0], .weight = a.in[1], .targets = a.input<int32_t>(2)};
        if constexpr (kind == LossHeadSpec::vocabulary) {
          args.saved_loss = a.input<float>(3);
          args.d_loss = a.input<float>(4);
        } else {
          args.loss = a.output<float>(0);
        }
        if constexpr (kind == LossHeadSpec::rows) args.d_loss = a.input<float>(3);
        if constexpr (kind == LossHeadSpec::loss) {
          head->run(args, a.scratch);
        } else {
          constexpr int first = kind == LossHeadSpec::rows ? 1 : 0;
          args.dx = a.out[first];
          args.dweight = a.output<float>(first + 1);
          leaving->run(a, [&](const backend::Fold& fold) {
            CHECK(!fold.add || kind == LossHeadSpec::vocabulary, "rows of a loss head do not add to a sum");
            args.fold = fold;
            head->run(args, a.scratch);
          });
        }
      },
      scratch);
}

// The logits, and with a gradient dx and dweight.
template <int products> std::vector<ir::Gemm> gemms(const OpView& v) {
  const int64_t rows = v.in[2].shape.elements(), classes = v.in[1].shape[0], width = v.in[1].shape[1];
  const DType dtype = v.in[0].dtype;
  std::vector<ir::Gemm> list{{.m = rows, .n = classes, .k = width, .transpose_b = true, .dtype = dtype},
                             {.m = rows, .n = width, .k = classes, .dtype = dtype},
                             {.m = classes, .n = width, .k = rows, .transpose_a = true, .dtype = dtype}};
  list.resize(products);
  return list;
}

// ---- samples: odd sizes; fewer rows than a chunk and several chunks; one tile of classes and several; tails both ways
std::vector<ir::Sample> samples_of(int f32_inputs, std::vector<ir::Attrs> attributes) {
  std::vector<ir::Sample> list;
  const auto add = [&](const Shape& x, int64_t classes, double spread, bool shipped, DType dtype) {
    const Shape rows(x.dims().first(static_cast<size_t>(x.rank() - 1)));
    const ir::Fill normal{}, ids{.kind = ir::Fill::ids, .low = 0.0, .high = static_cast<double>(classes)};
    // a drawn loss is not that of the logits: with close ones their exponentials still fit 16 bits
    const double wide = f32_inputs == 2 ? std::min(spread, 0.2) : spread;
    const ir::Fill weight{.kind = ir::Fill::uniform, .low = -wide, .high = wide};
    for (const ir::Attrs& a : attributes) {
      list.push_back({.in = {{dtype, x}, {dtype, {classes, x.dim(-1)}}, i32(rows)},
                      .attrs = a,
                      .fill = {normal, weight, ids},
                      .shipped = shipped});
      for (int i = 0; i < f32_inputs; ++i) {
        list.back().in.push_back(f32(rows));
        const bool loss = f32_inputs == 2 && i == 0;
        list.back().fill.push_back({.kind = loss ? ir::Fill::positive : ir::Fill::normal});
      }
    }
  };
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    add({1, 1}, 1, 1.0, false, dtype);
    add({3}, 7, 1.0, false, dtype);
    add({3, 5, 7}, 33, 1.0, false, dtype);
    add({0, 4}, 5, 1.0, false, dtype);
    add({257, 2}, 65, 1.0, false, dtype);
    add({5, 24}, 600, 20.0, false, dtype);
  }
  add({2, 2}, 4133, 1.0, false, DType::f32);  // more tiles than groups
  add({2100, 2}, 2, 1.0, false, DType::f32);
  add({2, 259, 16}, 520, 0.5, true, DType::f32);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) add({3, 64, 128}, 256, 0.1, true, dtype);
  for (const DType dtype : {DType::f32, DType::bf16}) add({4, 128, 192}, 4133, 0.1, true, dtype);
  return list;
}

// inputs 3 and 4: loss and d_loss
constexpr ir::Traits traits(int sums, bool one_grain = false) {
  return {.cast = ir::CastClass::low_precision,
          .cost = ir::CostClass::compute,
          .sums = sums,
          .sums_one_grain = one_grain,
          .f32_inputs = 0b11000};
}

}  // namespace

const OpDef linear_cross_entropy_op{
    .name = "linear_cross_entropy",
    .doc = "x [..,C], weight [V,C], targets i32[..] -> cross_entropy(x weight^T, targets), nats",
    .attrs = attrs,
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer,
    .grad = grad,
    .decompose = decompose,
    .reference = reference,
    .cpu = cpu<LossHeadSpec::loss>,
    .gemms = gemms<1>,
    .samples =
        [] {
          return samples_of(0, {{{"chunk", std::string("rows")}}, {{"chunk", std::string("vocabulary")}}});
        },
    .traits = traits(-1)};

const OpDef linear_cross_entropy_rows_grad_op{.name = "linear_cross_entropy_rows_grad",
                                              .doc = "x, weight, targets, d_loss -> loss, dx, dweight f32",
                                              .attrs = grad_attrs,
                                              .min_inputs = 4,
                                              .max_inputs = 5,
                                              .infer = infer_rows_grad,
                                              .decompose = decompose_rows_grad,
                                              .reference = reference_rows_grad,
                                              .cpu = cpu<LossHeadSpec::rows>,
                                              .recomputes = &linear_cross_entropy_op,
                                              .gemms = gemms<3>,
                                              .samples = [] { return samples_of(1, {{}}); },
                                              .traits = traits(2, true)};

const OpDef linear_cross_entropy_vocabulary_grad_op{.name = "linear_cross_entropy_vocabulary_grad",
                                                    .doc = "x, weight, targets, loss, d_loss -> dx, dweight f32",
                                                    .attrs = grad_attrs,
                                                    .min_inputs = 5,
                                                    .max_inputs = 6,
                                                    .infer = infer_vocabulary_grad,
                                                    .decompose = decompose_vocabulary_grad,
                                                    .reference = reference_vocabulary_grad,
                                                    .cpu = cpu<LossHeadSpec::vocabulary>,
                                                    .gemms = gemms<3>,
                                                    .samples = [] { return samples_of(2, {{}}); },
                                                    .traits = traits(1)};

Tensor linear_cross_entropy(Tensor x, Tensor weight, Tensor targets, const std::string& chunk) {
  return x.builder().emit1(linear_cross_entropy_op, {x, weight, targets}, {{"chunk", chunk}});
}

}  // namespace ringmaster::ops
