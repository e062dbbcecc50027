// SPDX-License-Identifier: Apache-2.0
// attention: y = softmax(scale q k') v for each sequence and head.     Vaswani et al. 2017, arXiv:1706.03762
//   lse = log sum exp(scale q k') over the keys that a query sees; saved for backward, which is attention_grad.cpp
//   in  packed: qkv [B,T,3,H,D], read in place; else q [B,Tq,H,D], k and v [B,Tk,H,D]. f32, bf16 or f16.
//       key_padding: also lengths i32[B]; the keys of sequence b from lengths[b] on are not seen
//   out y [B,Tq,H,D] like q; lse f32 [B,H,Tq].   A query that sees no key has y 0, lse -infinity, and no gradient.
//   attrs causal: query i sees keys j <= i (Tq = Tk)     scale: 0 stands for 1/sqrt(D)
//   numerics and memory: backend/cpu/flash.h. Nothing of size Tq x Tk exists.
//   errors: config if shapes or dtypes do not fit, scale < 0, D = 0.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/samples.h"

namespace ringmaster::ops {

using ir::OpView;
using ir::Type;

const ir::AttrSpec attention_attrs[4] = {{"packed", false, true, "one tensor qkv instead of three"},
                                         {"key_padding", false, false, "lengths are given"},
                                         {"causal", false, false, "query i sees keys j <= i"},
                                         {"scale", 0.0, false, "of the scores; 0: 1/sqrt(D)"}};

namespace {

[[noreturn]] void refuse(const std::string& found, const std::string& expected) {
  throw Error({.kind = ErrorKind::config, .message = found, .expected = expected});
}

}  // namespace

AttentionForm::AttentionForm(const OpView& v) : packed(v.attrs.flag("packed")), causal(v.attrs.flag("causal")) {
  tensors = packed ? 1 : 3;
  if (v.attrs.flag("key_padding")) lengths = tensors;
  inputs = tensors + (lengths ? 1 : 0);
  if (v.in.size() < inputs) refuse(fmt::format("{} inputs", v.in.size()), fmt::format("{} or more", inputs));
  const Type& q = v.in[0];
  require_float(q, packed ? "qkv" : "q");
  dtype = q.dtype;
  const Shape& shape = q.shape;
  if (packed && (shape.rank() != 5 || shape[2] != 3)) refuse("qkv is " + str(q), "[B,T,3,H,D]");
  if (!packed && shape.rank() != 4) refuse("q is " + str(q), "[B,T,H,D]");
  const Type& k = packed ? q : v.in[1];
  if (!packed &&
      (k.shape.rank() != 4 || !(k == v.in[2]) || !(k == Type{dtype, {shape[0], k.shape[1], shape[2], shape[3]}}))) {
    refuse(fmt::format("q is {}, k is {}, v is {}", str(q), str(k), str(v.in[2])),
           "k and v alike, and like q but for their number of tokens");
  }
  batch = shape[0], q_len = shape[1], k_len = k.shape[1], heads = shape.dim(-2), dim = shape.dim(-1);
  if (dim == 0) refuse("q is " + str(q), "heads of one element or more");
  if (causal && q_len != k_len) refuse(fmt::format("{} queries and {} keys", q_len, k_len), "as many, for causal");
  if (lengths && !(v.in[*lengths] == i32({batch}))) refuse("lengths are " + str(v.in[*lengths]), str(i32({batch})));
  scale = v.attrs.number("scale");
  if (!(scale >= 0.0) || !std::isfinite(scale)) refuse(fmt::format("scale is {}", scale), "0 or more");
  if (scale == 0.0) scale = 1.0 / std::sqrt(static_cast<double>(dim));
}

int64_t AttentionForm::product_flops() const { return 2 * batch * heads * q_len * k_len * dim / (causal ? 2 : 1); }

ir::Gemm AttentionForm::scores() const {
  return {.batch = batch * heads, .m = q_len, .n = k_len, .k = dim, .transpose_b = true, .dtype = dtype};
}
ir::Gemm AttentionForm::rows(bool of_keys) const {
  return {.batch = batch * heads,
          .m = of_keys ? k_len : q_len,
          .n = dim,
          .k = of_keys ? q_len : k_len,
          .transpose_a = of_keys,
          .dtype = dtype};
}

backend::FlashSpec AttentionForm::spec() const {
  const auto strides = [&](int64_t tokens, int64_t parts) {
    return backend::HeadStrides{tokens * parts * heads * dim, parts * heads * dim, dim};
  };
  const backend::HeadStrides in = strides(k_len, packed ? 3 : 1);
  return {.batch = batch,
          .heads = heads,
          .q_len = q_len,
          .k_len = k_len,
          .dim = dim,
          .q = packed ? in : strides(q_len, 1),
          .k = in,
          .v = in,
          .y = strides(q_len, 1),
          .dtype = dtype,
          .causal = causal,
          .scale = scale};
}

backend::FlashInputs AttentionForm::pointers(const ir::KernelArgs& a) const {
  const auto part = [&](int i) {
    const char* base = a.input<char>(static_cast<int>(input_of(i)));
    return packed ? base + i * heads * dim * size_of(dtype) : base;
  };
  return {part(0), part(1), part(2), lengths ? a.input<int32_t>(static_cast<int>(*lengths)) : nullptr};
}

int64_t AttentionForm::at(int part, int64_t b, int64_t t, int64_t h, int64_t d) const {
  const int64_t row = b * (part == 0 ? q_len : k_len) + t;
  return ((packed ? row * 3 + part : row) * heads + h) * dim + d;
}

int64_t visible_keys(const AttentionForm& f, std::span<const ir::RefTensor> in, int64_t b, int64_t t) {
  const double given = f.lengths ? in[*f.lengths].data[static_cast<size_t>(b)] : static_cast<double>(f.k_len);
  const auto length = static_cast<int64_t>(std::clamp(given, 0.0, static_cast<double>(f.k_len)));
  return f.causal ? std::min(length, t + 1) : length;
}

// ---- decomposition

Tensor heads_first(Tensor x) {
  const Tensor y = transpose(x, {0, 2, 1, 3});
  return cast(y, DType::f32);
}
Tensor tokens_first(Tensor x, DType dtype) {
  const Tensor y = transpose(x, {0, 2, 1, 3});
  return dtype == DType::f32 ? y : cast(y, dtype);
}

namespace {

// f32 [T,T], 1 where j <= i: where the causal softmax of zeros is not 0
Tensor lower_triangle(ir::Builder& b, int64_t tokens) {
  const Type square = f32({tokens, tokens});
  return greater(softmax(full(b, square, 0.0), true), full(b, square, 0.0));
}

Tensor mask_of(const AttentionForm& f, ir::Builder& b, std::span<const Tensor> in) {
  Tensor mask = f.causal ? lower_triangle(b, f.k_len) : Tensor();
  if (!f.lengths) return mask;
  const Tensor count = sum(lower_triangle(b, f.k_len), {1}, false);  // 1, 2, ..
  const Tensor lengths = reshape(cast(in[*f.lengths], DType::f32), {f.batch, 1, 1, 1}) + 0.5;
  const Tensor real = greater(lengths, count);
  return mask.valid() ? real * mask : real;
}

}  // namespace

AttentionParts::AttentionParts(const AttentionForm& f, std::span<const Tensor> in) {
  const auto part = [&](int64_t i) {
    if (!f.packed) return in[static_cast<size_t>(i)];
    const Tensor slice = split(in[0], 2, {1, 1, 1})[static_cast<size_t>(i)];
    return reshape(slice, {f.batch, f.q_len, f.heads, f.dim});
  };
  q = heads_first(part(0)), k = heads_first(part(1)), v = heads_first(part(2));
  mask = mask_of(f, q.builder(), in);
  scores = scale(matmul(q, k, {.transpose_b = true}), f.scale);
  if (mask.valid()) scores = scores + 1e30 * (mask - 1.0);
}

Tensor AttentionParts::masked(Tensor x) const { return mask.valid() ? x * mask : x; }

namespace {

std::vector<Tensor> decompose(const ir::Attrs& attrs, std::span<const Tensor> in) {
  std::vector<Type> types;
  for (const Tensor& x : in) types.push_back(x.type());
  const AttentionForm f({attrs, types, {}});
  const AttentionParts parts(f, in);
  const Tensor top = stop_gradient(max_last(parts.scores)), e = parts.masked(exp(parts.scores - top));
  const Tensor total = sum(e, {3}, true);  // 1 or more, but 0 where a query sees nothing
  const Tensor divisor = parts.mask.valid() ? maximum(total, full(in[0].builder(), f32({}), 0.5)) : total;
  return {tokens_first(matmul(e, parts.v) / divisor, f.dtype), reshape(log(total) + top, f.lse().shape)};
}

std::vector<Type> infer(const OpView& v) {
  const AttentionForm f(v);
  if (v.in.size() != f.inputs) refuse(fmt::format("{} inputs", v.in.size()), fmt::format("{}", f.inputs));
  return {f.y(), f.lse()};
}

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor y = v.out[0], d_lse = v.d_out[1];
  std::vector<Tensor> in(v.in.begin(), v.in.end());
  in.insert(in.end(), {y, v.out[1], v.d_out[0].valid() ? v.d_out[0] : full(y.builder(), y.type(), 0.0)});
  if (d_lse.valid()) in.push_back(d_lse);
  std::vector<Tensor> out = y.builder().emit(attention_grad_op, in, v.attrs);
  out.resize(v.in.size());  // lengths have none
  return out;
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const AttentionForm f(v);
  const auto value = [&](int part, int64_t b, int64_t t, int64_t h, int64_t d) {
    return in[f.input_of(part)].data[static_cast<size_t>(f.at(part, b, t, h, d))];
  };
  for (int64_t b = 0; b < f.batch; ++b)
    for (int64_t h = 0; h < f.heads; ++h)
      for (int64_t i = 0; i < f.q_len; ++i) {
        const int64_t n = visible_keys(f, in, b, i);
        std::vector<double> p(static_cast<size_t>(n));
        double top = -std::numeric_limits<double>::infinity(), total = 0.0;
        for (int64_t j = 0; j < n; ++j) {
          double score = 0.0;
          for (int64_t d = 0; d < f.dim; ++d) score += value(0, b, i, h, d) * value(1, b, j, h, d);
          p[static_cast<size_t>(j)] = score * f.scale;
          top = std::max(top, score * f.scale);
        }
        for (double& x : p) total += x = std::exp(x - top);
        for (int64_t d = 0; d < f.dim; ++d) {
          double y = 0.0;
          for (int64_t j = 0; j < n; ++j) y += p[static_cast<size_t>(j)] / total * value(2, b, j, h, d);
          out[0].data[static_cast<size_t>(((b * f.q_len + i) * f.heads + h) * f.dim + d)] = y;
        }
        out[1].data[static_cast<size_t>((b * f.heads + h) * f.q_len + i)] = top + std::log(total);
      }
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const AttentionForm f(v);
  auto flash = std::make_unique<backend::Flash>(f.spec(), backend::Flash::forward, threads);
  const int64_t scratch = flash->scratch_bytes();
  return ir::make_kernel(
      [f, flash = std::move(flash)](const ir::KernelArgs& a) {
        flash->run_forward(f.pointers(a), a.out[0], a.output<float>(1), a.scratch);
      },
      scratch);
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  const auto packed = [&](const Shape& qkv, bool causal, bool padding = false, double scale = 0.0) {
    list.push_back({.in = {f32(qkv)},
                    .attrs = {{"packed", true}, {"key_padding", padding}, {"causal", causal}, {"scale", scale}}});
    if (!padding) return;
    list.back().in.push_back(i32({qkv[0]}));
    list.back().fill = {{}, {.kind = ir::Fill::ids, .low = 1.0, .high = static_cast<double>(qkv[1]) + 1.0}};
  };
  const auto separate = [&](const Shape& q, const Shape& k, bool causal = false) {
    list.push_back({.in = {f32(q), f32(k), f32(k)}, .attrs = {{"packed", false}, {"causal", causal}}});
  };
  packed({1, 1, 3, 1, 1}, true);
  packed({2, 7, 3, 2, 5}, false, false, 0.7);
  packed({2, 33, 3, 1, 16}, true);
  packed({3, 9, 3, 2, 4}, false, true);
  packed({2, 40, 3, 1, 3}, true, true);
  packed({1, 150, 3, 1, 18}, true);  // more than a tile
  packed({0, 4, 3, 2, 4}, true);
  separate({2, 3, 2, 6}, {2, 5, 2, 6});
  separate({1, 34, 1, 33}, {1, 9, 1, 33});
  separate({2, 5, 2, 8}, {2, 5, 2, 8}, true);
  for (const Shape& qkv : {Shape{4, 256, 3, 12, 64}, Shape{4, 128, 3, 6, 32}, Shape{3, 64, 3, 4, 32}}) {
    packed(qkv, true);
    list.back().shipped = true;
  }
  return with_16_bit(std::move(list));
}

}  // namespace

const OpDef attention_op{
    .name = "attention",
    .doc = "q, k, v [B,T,H,D] or qkv [B,T,3,H,D] -> softmax(scale q k') v, log sum exp(scale q k')",
    .attrs = attention_attrs,
    .min_inputs = 1,
    .max_inputs = 4,
    .infer = infer,
    .grad = grad,
    .decompose = decompose,
    .reference = reference,
    .cpu = cpu,
    .gemms =
        [](const OpView& v) {
          const AttentionForm f(v);
          return std::vector{f.scores(), f.rows(false)};
        },
    .gemm_flops = [](const OpView& v) { return 2 * AttentionForm(v).product_flops(); },
    .samples = samples,
    .traits = {.cast = ir::CastClass::low_precision, .cost = ir::CostClass::compute}};

namespace {

Tensor emit(std::vector<Tensor> in, bool packed, const AttentionOptions& o) {
  if (o.lengths.valid()) in.push_back(o.lengths);
  return in[0].builder().emit(
      attention_op, in,
      {{"packed", packed}, {"key_padding", o.lengths.valid()}, {"causal", o.causal}, {"scale", o.scale}})[0];
}

}  // namespace

Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options) {
  return emit({q, k, v}, false, options);
}
Tensor self_attention(Tensor qkv, const AttentionOptions& options) { return emit({qkv}, true, options); }

}  // namespace ringmaster::ops
