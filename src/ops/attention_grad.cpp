// SPDX-License-Identifier: Apache-2.0
// attention_grad: the gradients of attention by its inputs, from what it saved: q, k, v, y and lse.   Dao et al. 2022, 2023
//   p = exp(scale q k' - lse)   dp = dy v'   ds = p (dp - rowsum(dy y) + d_lse)   dq = scale ds k   dk = scale ds' q   dv = p' dy
//   in  the inputs of attention (and its attrs), then y, lse, dy, and d_lse [B,H,Tq] if the loss depends on lse
//   out dqkv like qkv, or dq, dk, dv.   Keys that are padding and queries that see no key have gradient 0.
//   numerics and memory: backend/cpu/flash.h.   errors: config if an input is not like attention's.
#include <cmath>

#include "core/error.h"
#include "ops/attention.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::Type;

bool has_d_lse(const OpView& v, const AttentionForm& f) { return v.in.size() == f.inputs + 4; }

std::vector<Type> infer(const OpView& v) {
  const AttentionForm f(v);
  const auto expect = [&](size_t i, const char* name, const Type& type, const Type& other) {
    if (v.in[i] == type || v.in[i] == other) return;
    throw Error(
        {.kind = ErrorKind::config, .message = fmt::format("{} is {}", name, str(v.in[i])), .expected = str(type)});
  };
  if (v.in.size() != f.inputs + 3 && !has_d_lse(v, f)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} inputs", v.in.size()),
                 .expected = fmt::format("{}, or one more: d_lse", f.inputs + 3)});
  }
  expect(f.inputs, "y", f.y(), f.y());
  expect(f.inputs + 1, "lse", f.lse(), f.lse());
  expect(f.inputs + 2, "dy", f.y(), f.y());
  if (has_d_lse(v, f)) expect(f.inputs + 3, "d_lse", f.lse(), {f.dtype, f.lse().shape});
  return {v.in.begin(), v.in.begin() + static_cast<std::ptrdiff_t>(f.tensors)};
}

std::vector<Tensor> decompose(const ir::Attrs& attrs, std::span<const Tensor> in) {
  std::vector<Type> types;
  for (const Tensor& x : in) types.push_back(x.type());
  const OpView view{attrs, types, {}};
  const AttentionForm f(view);
  const AttentionParts parts(f, in);
  const Shape column{f.batch, f.heads, f.q_len, 1};
  const Tensor y = heads_first(in[f.inputs]), dy = heads_first(in[f.inputs + 2]);
  // -infinity where a query sees nothing, as its scores are then about -1e30
  const Tensor lse = maximum(reshape(in[f.inputs + 1], column), full(y.builder(), f32({}), -1e30));
  const Tensor p = parts.masked(exp(parts.scores - lse));
  Tensor dot = sum(dy * y, {3}, true);
  if (has_d_lse(view, f)) {
    const Tensor d_lse = in[f.inputs + 3];
    dot = dot - reshape(cast(d_lse, DType::f32), column);
  }
  const Tensor ds = scale(p * (matmul(dy, parts.v, {.transpose_b = true}) - dot), f.scale);
  const Tensor dq = tokens_first(matmul(ds, parts.k), f.dtype);
  const Tensor dk = tokens_first(matmul(ds, parts.q, {.transpose_a = true}), f.dtype);
  const Tensor dv = tokens_first(matmul(p, dy, {.transpose_a = true}), f.dtype);
  if (!f.packed) return {dq, dk, dv};
  std::vector<Tensor> all;
  for (const Tensor& d : {dq, dk, dv}) all.push_back(reshape(d, {f.batch, f.q_len, 1, f.heads, f.dim}));
  return {concat(all, 2)};
}

// One query of one head: adds what it gives to the gradients.
struct QueryGrad {
  const AttentionForm& f;
  std::span<const ir::RefTensor> in;
  std::span<ir::RefTensor> out;

  double value(int part, int64_t b, int64_t t, int64_t h, int64_t d) const {
    return in[f.input_of(part)].data[static_cast<size_t>(f.at(part, b, t, h, d))];
  }
  double& gradient(int part, int64_t b, int64_t t, int64_t h, int64_t d) const {
    return out[f.input_of(part)].data[static_cast<size_t>(f.at(part, b, t, h, d))];
  }
  void add(int64_t b, int64_t h, int64_t i) const {
    const auto row = static_cast<size_t>((b * f.heads + h) * f.q_len + i);
    const double* y = in[f.inputs].data.data() + ((b * f.q_len + i) * f.heads + h) * f.dim;
    const double* dy = in[f.inputs + 2].data.data() + ((b * f.q_len + i) * f.heads + h) * f.dim;
    double dot = in.size() == f.inputs + 4 ? -in[f.inputs + 3].data[row] : 0.0;
    for (int64_t d = 0; d < f.dim; ++d) dot += y[d] * dy[d];
    for (int64_t j = 0; j < visible_keys(f, in, b, i); ++j) {
      double score = 0.0, dp = 0.0;
      for (int64_t d = 0; d < f.dim; ++d) {
        score += value(0, b, i, h, d) * value(1, b, j, h, d);
        dp += dy[d] * value(2, b, j, h, d);
      }
      const double p = std::exp(score * f.scale - in[f.inputs + 1].data[row]), ds = p * (dp - dot) * f.scale;
      for (int64_t d = 0; d < f.dim; ++d) {
        gradient(0, b, i, h, d) += ds * value(1, b, j, h, d);
        gradient(1, b, j, h, d) += ds * value(0, b, i, h, d);
        gradient(2, b, j, h, d) += p * dy[d];
      }
    }
  }
};

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const AttentionForm f(v);
  const QueryGrad query{f, in, out};
  for (int64_t b = 0; b < f.batch; ++b)
    for (int64_t h = 0; h < f.heads; ++h)
      for (int64_t i = 0; i < f.q_len; ++i) query.add(b, h, i);
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const AttentionForm f(v);
  auto flash = std::make_unique<backend::Flash>(f.spec(), backend::Flash::backward, threads);
  const int64_t scratch = flash->scratch_bytes();
  const bool with_d_lse = has_d_lse(v, f);
  const DType d_lse_dtype = with_d_lse ? v.in[f.inputs + 3].dtype : DType::f32;
  return ir::make_kernel(
      [=, flash = std::move(flash)](const ir::KernelArgs& a) {
        const int y = static_cast<int>(f.inputs);
        const int64_t part = f.packed ? f.heads * f.dim * size_of(f.dtype) : 0;
        const auto out = [&](int i) { return a.output<char>(static_cast<int>(f.input_of(i))) + i * part; };
        flash->run_backward(f.pointers(a),
                            {.y = a.in[y],
                             .lse = a.input<float>(y + 1),
                             .dy = a.in[y + 2],
                             .d_lse = with_d_lse ? a.in[y + 3] : nullptr,
                             .d_lse_dtype = d_lse_dtype},
                            {out(0), out(1), out(2)}, a.scratch);
      },
      scratch);
}

// Those of attention, with lse drawn near what scores of this size give.
std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (ir::Sample sample : attention_op.samples()) {
    const ir::Attrs attrs = ir::complete(attention_op, sample.attrs);
    const AttentionForm f({attrs, sample.in, {}});
    sample.fill.resize(f.inputs + 1);
    sample.fill.push_back({.kind = ir::Fill::uniform, .low = 2.0, .high = 4.0});
    sample.in.insert(sample.in.end(), {f.y(), f.lse(), f.y()});
    list.push_back(sample);
    if (sample.shipped) continue;
    sample.in.push_back(f.lse());
    list.push_back(std::move(sample));
  }
  return list;
}

}  // namespace

const OpDef attention_grad_op{
    .name = "attention_grad",
    .doc = "the inputs of attention, y, lse, dy (, d_lse) -> dq, dk, dv or dqkv",
    .attrs = attention_attrs,
    .min_inputs = 4,
    .max_inputs = 8,
    .infer = infer,
    .decompose = decompose,
    .reference = reference,
    .cpu = cpu,
    .gemms =
        [](const OpView& v) {  // s and dp; dq; dk and dv
          const AttentionForm f(v);
          return std::vector{f.scores(), f.scores(), f.rows(false), f.rows(true), f.rows(true)};
        },
    .gemm_flops = [](const OpView& v) { return 5 * AttentionForm(v).product_flops(); },
    .samples = samples,
    .traits = {.cast = ir::CastClass::low_precision, .cost = ir::CostClass::compute}};

}  // namespace ringmaster::ops
