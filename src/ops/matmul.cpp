// SPDX-License-Identifier: Apache-2.0
// matmul: c_MN = a_MK b_KN (+ bias_N), over equal leading dims, or with one b_KN for all of them (a layer's weight).
//   in  a [..,M,K], or [..,K,M] with transpose_a; b [..,K,N] or [K,N], or [..,N,K] with transpose_b; bias [N], optional
//   out c [..,M,N]. f32, bf16 or f16, one for all; with f32_out c is f32.
//   grad: da = dc b^T, db = a^T dc (a shared b: one GEMM over all rows), dbias = sum of dc over all rows
//   row_stable: a row of c has the same bits however many rows there are; for programs that see a token at a time. Not for
//   transpose_a.
//   numerics: f32 sums in an order fixed by the shapes; 16-bit data is rounded once.   backend/cpu/dnnl.h says how.
//   errors: config if the inner or leading dims, dtypes or the bias do not fit.
#include "backend/cpu/dnnl.h"
#include "backend/cpu/row_matmul.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/leaving.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <cstring>

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::Type;

const ir::AttrSpec attrs[] = {{"transpose_a", false},
                              {"transpose_b", false},
                              {"row_stable", false, false, "a row's bits do not depend on the number of rows"},
                              {"f32_out", false, false, "c is f32: the sums as they are"},
                              into_sum_attr,
                              on_grid_attr};

// A product that leaves the grain on a grid has no bias: the third input is the grid.
bool has_bias(const ir::Attrs& with, size_t inputs) { return inputs == 3 && !with.flag("on_grid"); }

// The problem behind a node: `batch` products, or one over all rows where b is shared.
backend::MatmulSpec problem(const OpView& v) {
  const Shape &a = v.in[0].shape, &b = v.in[1].shape;
  backend::MatmulSpec spec{.transpose_a = v.attrs.flag("transpose_a"),
                           .transpose_b = v.attrs.flag("transpose_b"),
                           .dtype = v.in[0].dtype,
                           .bias = has_bias(v.attrs, v.in.size())};
  if (v.attrs.flag("f32_out")) spec.out = DType::f32;
  spec.panels = !v.attrs.text("into_sum").empty() || v.attrs.flag("on_grid");
  spec.m = a.dim(spec.transpose_a ? -1 : -2);
  spec.k = a.dim(spec.transpose_a ? -2 : -1);
  spec.n = b.dim(spec.transpose_b ? -2 : -1);
  int64_t& repeats = b.rank() == 2 ? spec.m : spec.batch;
  for (int d = 0; d < a.rank() - 2; ++d) repeats *= a[d];
  return spec;
}

[[noreturn]] void refuse(const OpView& v, const std::string& why) {
  throw Error({.kind = ErrorKind::config, .message = "a is " + str(v.in[0]) + ", b is " + str(v.in[1]) + "; " + why});
}

std::vector<Type> infer(const OpView& v) {
  const Type &a = v.in[0], &b = v.in[1];
  require_float(a, "a");
  if (a.dtype != b.dtype) refuse(v, "the dtypes differ; cast one of them");
  const int rank = a.shape.rank();
  if (rank < 2 || b.shape.rank() < 2) refuse(v, "both need two dims or more");
  const bool ta = v.attrs.flag("transpose_a"), tb = v.attrs.flag("transpose_b");
  if (ta && v.attrs.flag("row_stable")) refuse(v, "a transposed a takes no row_stable");
  const int64_t k = a.shape.dim(ta ? -2 : -1), b_k = b.shape.dim(tb ? -1 : -2), b_n = b.shape.dim(tb ? -2 : -1);
  if (k != b_k) refuse(v, fmt::format("inner dims {} and {} differ{}", k, b_k, k == b_n ? "; transpose b?" : ""));
  Shape c = a.shape;
  c.set(-2, a.shape.dim(ta ? -1 : -2));
  c.set(-1, b_n);
  if (b.shape.rank() == 2) {
    if (ta && rank > 2) refuse(v, "a transposed a takes no shared b; give both the same leading dims");
  } else {
    bool equal = b.shape.rank() == rank;
    for (int d = 0; equal && d < rank - 2; ++d) equal = a.shape[d] == b.shape[d];
    if (!equal) refuse(v, "the leading dims differ; b has the same ones or none");
  }
  if (has_bias(v.attrs, v.in.size()) && !(v.in[2] == Type{a.dtype, {b_n}})) {
    refuse(v, "bias is " + str(v.in[2]) + ", expected " + str(Type{a.dtype, {b_n}}));
  }
  if (v.attrs.flag("row_stable") && (v.attrs.flag("f32_out") || v.attrs.flag("on_grid")))
    refuse(v, "row_stable excludes f32_out and on_grid");
  return leaves_grain(v, 0, {{v.attrs.flag("f32_out") ? DType::f32 : a.dtype, c}});
}

std::vector<Tensor> grad(const ir::GradView& v) {
  Tensor a = v.in[0], b = v.in[1], dc = cast(v.d_out[0], a.dtype());
  const bool ta = v.attrs.flag("transpose_a"), tb = v.attrs.flag("transpose_b");
  std::vector<Tensor> d(v.in.size());
  if (v.needed[0]) {
    d[0] = ta ? matmul(b, dc, {.transpose_a = tb, .transpose_b = true}) : matmul(dc, b, {.transpose_b = !tb});
  }
  if (v.in.size() == 3 && v.needed[2]) {
    std::vector<int64_t> leading;
    for (int i = 0; i < dc.shape().rank() - 1; ++i) leading.push_back(i);
    d[2] = sum(dc, leading, false);
  }
  if (v.needed[1]) {
    if (b.shape().rank() == 2 && a.shape().rank() > 2) {  // never transposed: rows are contiguous
      a = reshape(a, {-1, a.dim(-1)});
      dc = reshape(dc, {-1, dc.dim(-1)});
    }
    d[1] = tb ? matmul(dc, a, {.transpose_a = true, .transpose_b = ta}) : matmul(a, dc, {.transpose_a = !ta});
  }
  return d;
}

void reference(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const bool ta = v.attrs.flag("transpose_a"), tb = v.attrs.flag("transpose_b");
  const Shape& c = v.out[0].shape;
  const int64_t m = c.dim(-2), n = c.dim(-1), k = v.in[0].shape.dim(ta ? -2 : -1);
  const int64_t batch = m * n == 0 ? 0 : c.elements() / (m * n);
  const int64_t step_b = v.in[1].shape.rank() == 2 ? 0 : k * n;
  for (int64_t s = 0; s < batch; ++s)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double total = has_bias(v.attrs, in.size()) ? in[2].data[static_cast<size_t>(j)] : 0.0;
        for (int64_t p = 0; p < k; ++p) {
          const int64_t at_a = s * m * k + (ta ? p * m + i : i * k + p),
                        at_b = s * step_b + (tb ? j * k + p : p * n + j);
          total += in[0].data[static_cast<size_t>(at_a)] * in[1].data[static_cast<size_t>(at_b)];
        }
        out[0].data[static_cast<size_t>((s * m + i) * n + j)] = total;
      }
  leave_reference(v, 0, in, out);
}

// A sum of no products: zeros, or the bias in every row.
std::unique_ptr<ir::Kernel> empty_sum(const OpView& v) {
  const int64_t bytes = v.out[0].bytes();
  if (!has_bias(v.attrs, v.in.size())) {
    return ir::make_kernel([=, leaving = Leaving(v)](const ir::KernelArgs& a) {
      leaving.run(a, [&](const backend::Fold& fold) {
        if (!fold.add) std::memset(a.out[0], 0, static_cast<size_t>(bytes));
      });
    });
  }
  const int64_t n = v.out[0].shape.elements(), row = v.in[2].shape.elements();
  return with_float(v.in[0].dtype, [&]<typename T>(T) {
    return with_float(v.out[0].dtype, [&]<typename C>(C) {
      return ir::make_kernel([=](const ir::KernelArgs& a) {
        for (int64_t i = 0; i < n; ++i) a.output<C>(0)[i] = store<C>(load(a.input<T>(2)[i % row]));
      });
    });
  });
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  const backend::MatmulSpec spec = problem(v);
  if (spec.k == 0) return empty_sum(v);
  if (v.attrs.flag("row_stable")) {
    return ir::make_kernel([=](const ir::KernelArgs& a) {
      backend::row_matmul(spec, threads, a.in[0], a.in[1], spec.bias ? a.in[2] : nullptr, a.out[0]);
    });
  }
  auto matmul = std::make_unique<backend::Matmul>(spec, threads);
  const int64_t scratch = matmul->scratch_bytes();
  return ir::make_kernel(
      [matmul = std::move(matmul), bias = spec.bias, leaving = Leaving(v)](const ir::KernelArgs& a) {
        leaving.run(a, [&](const backend::Fold& fold) {
          matmul->run_fold(a.in[0], a.in[1], bias ? a.in[2] : nullptr, a.out[0], a.scratch, fold);
        });
      },
      scratch);
}

std::vector<ir::Gemm> gemms(const OpView& v) {
  const backend::MatmulSpec s = problem(v);
  return {{s.batch, s.m, s.n, s.k, s.transpose_a, s.transpose_b, s.dtype}};
}

std::vector<ir::Sample> samples() {
  const ir::Attrs ta{{"transpose_a", true}}, tb{{"transpose_b", true}};
  const ir::Attrs stable{{"row_stable", true}}, stable_tb{{"row_stable", true}, {"transpose_b", true}};
  const ir::Attrs both{{"transpose_a", true}, {"transpose_b", true}};
  std::vector<ir::Sample> list{
      {.in = {f32({1, 1}), f32({1, 1})}},
      {.in = {f32({3, 5}), f32({5, 7}), f32({7})}},
      {.in = {f32({17, 33}), f32({33, 9})}},
      {.in = {f32({33, 17}), f32({33, 9})}, .attrs = ta},
      {.in = {f32({17, 33}), f32({9, 33}), f32({9})}, .attrs = tb},
      {.in = {f32({33, 17}), f32({9, 33})}, .attrs = both},
      {.in = {f32({2, 3, 5}), f32({5, 4}), f32({4})}},
      {.in = {f32({2, 3, 5}), f32({4, 5})}, .attrs = tb},
      {.in = {f32({2, 3, 4, 5}), f32({2, 3, 5, 6})}},
      {.in = {f32({2, 2, 5, 4}), f32({2, 2, 5, 3})}, .attrs = ta},
      {.in = {f32({2, 2, 4, 5}), f32({2, 2, 3, 5})}, .attrs = tb},
      {.in = {f32({2, 5, 4}), f32({2, 3, 5})}, .attrs = both},
      {.in = {f32({0, 5}), f32({5, 3})}},
      {.in = {f32({3, 0}), f32({0, 4}), f32({4})}},
      {.in = {f32({300, 40}), f32({40, 530}), f32({530})}},  // several tasks, with tails both ways
      {.in = {f32({1, 1}), f32({1, 1})}, .attrs = stable},
      {.in = {f32({1, 1, 33}), f32({33, 150}), f32({150})}, .attrs = stable},
      {.in = {f32({2, 3, 7, 5}), f32({2, 3, 5, 17})}, .attrs = stable},
      {.in = {f32({2, 3, 5}), f32({9, 5}), f32({9})}, .attrs = stable_tb},
      {.in = {f32({2, 2, 4, 37}), f32({2, 2, 3, 37})}, .attrs = stable_tb},
      {.in = {f32({0, 5}), f32({5, 3})}, .attrs = stable},
  };
  const auto shipped = [&](std::initializer_list<Type> in, const ir::Attrs& with = {}) {
    list.push_back({.in = in, .attrs = with, .shipped = true});
  };
  struct Model {
    int64_t grain, tokens, width, heads, vocabulary;
  };
  for (const Model& s : {Model{4, 256, 768, 12, 50304}, Model{4, 128, 192, 6, 256}, Model{3, 64, 128, 4, 256}}) {
    const int64_t rows = s.grain * s.tokens, c = s.width, head = c / s.heads, vocabulary = s.vocabulary;
    const Type square = f32({s.grain, s.heads, s.tokens, s.tokens}), narrow = f32({s.grain, s.heads, s.tokens, head});
    for (const int64_t n : {3 * c, c, 4 * c}) {
      shipped({f32({s.grain, s.tokens, c}), f32({c, n}), f32({n})});
      shipped({f32({s.grain, s.tokens, n}), f32({c, n})}, tb);
      shipped({f32({rows, c}), f32({rows, n})}, ta);
    }
    shipped({f32({s.grain, s.tokens, 4 * c}), f32({4 * c, c}), f32({c})});
    shipped({f32({rows, 4 * c}), f32({rows, c})}, ta);
    shipped({f32({s.grain, s.tokens, c}), f32({vocabulary, c})}, tb);
    shipped({f32({s.grain, s.tokens, vocabulary}), f32({vocabulary, c})});
    shipped({f32({rows, vocabulary}), f32({rows, c})}, ta);
    shipped({narrow, narrow}, tb);
    shipped({square, narrow});
    shipped({square, narrow}, ta);
    const Type token = f32({1, 1, c});
    shipped({token, f32({c, 4 * c}), f32({4 * c})}, stable);
    shipped({token, f32({vocabulary, c})}, stable_tb);
  }
  return with_f32_out(with_16_bit(std::move(list)));
}

}  // namespace

const OpDef matmul_op{
    .name = "matmul",
    .doc = "a [..,M,K] b [..,K,N] or [K,N] (+ bias [N]) -> [..,M,N]",
    .attrs = attrs,
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer,
    .grad = grad,
    .reference = reference,
    .cpu = cpu,
    .gemms = gemms,
    .samples = samples,
    .traits = {.cast = ir::CastClass::low_precision, .cost = ir::CostClass::compute, .sums = 0, .f32_out = true}};

Tensor matmul(Tensor a, Tensor b, MatmulOptions options) {
  return a.builder().emit1(matmul_op, {a, b},
                           {{"transpose_a", options.transpose_a},
                            {"transpose_b", options.transpose_b},
                            {"row_stable", a.builder().row_stable()}});
}

Tensor linear(Tensor x, Tensor weight, Tensor bias) {
  if (!bias.valid()) return matmul(x, weight);
  return x.builder().emit1(matmul_op, {x, weight, bias}, {{"row_stable", x.builder().row_stable()}});
}

}  // namespace ringmaster::ops
