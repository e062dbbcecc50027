// SPDX-License-Identifier: Apache-2.0
// What flash attention promises beyond what the conformance suite asks of the ops: f64 at its own tolerance, tiles, shifts, padding,
// instruction sets, memory.
#include "backend/cpu/flash.h"

#include "core/isa.h"
#include "tests/backend/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

namespace ringmaster::backend {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// One sequence or more with contiguous [B,T,H,D] tensors, in f32; run() rounds them to the spec's dtype.
struct Problem {
  FlashSpec spec;
  std::vector<float> q, k, v, dy;
  std::vector<int32_t> lengths;

  Problem(int64_t batch, int64_t heads, int64_t tokens, int64_t dim, bool causal) {
    const HeadStrides strides{tokens * heads * dim, heads * dim, dim};
    spec = {.batch = batch,
            .heads = heads,
            .q_len = tokens,
            .k_len = tokens,
            .dim = dim,
            .q = strides,
            .k = strides,
            .v = strides,
            .y = strides,
            .causal = causal,
            .scale = 1.0 / std::sqrt(static_cast<double>(dim))};
    uint32_t state = 1;
    for (std::vector<float>* x : {&q, &k, &v, &dy}) {
      x->resize(static_cast<size_t>(batch * tokens * heads * dim));
      for (float& e : *x) e = static_cast<float>((state = state * 1664525U + 1013904223U) >> 8) * 0x1p-23F - 1.0F;
    }
  }
};

struct Result {
  std::vector<float> y, lse, dq, dk, dv;
};

std::vector<char> encode(const std::vector<float>& x, DType dtype) {
  std::vector<char> out(x.size() * static_cast<size_t>(size_of(dtype)));
  for (size_t i = 0; i < x.size(); ++i) {
    if (dtype == DType::f32) std::memcpy(&out[i * 4], &x[i], 4);
    const uint16_t bits = dtype == DType::bf16 ? to_bf16(x[i]).bits : to_f16(x[i]).bits;
    if (dtype != DType::f32) std::memcpy(&out[i * 2], &bits, 2);
  }
  return out;
}
std::vector<float> decode(const std::vector<char>& x, DType dtype) {
  std::vector<float> out(x.size() / static_cast<size_t>(size_of(dtype)));
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits = 0;
    if (dtype == DType::f32) std::memcpy(&out[i], &x[i * 4], 4);
    if (dtype != DType::f32) std::memcpy(&bits, &x[i * 2], 2);
    if (dtype == DType::bf16) out[i] = to_float(bf16{bits});
    if (dtype == DType::f16) out[i] = to_float(f16{bits});
  }
  return out;
}

Result run(const Problem& p, int threads = 1) {
  const Flash forward(p.spec, Flash::forward, threads), backward(p.spec, Flash::backward, threads);
  const int64_t bytes = std::max(forward.scratch_bytes(), backward.scratch_bytes());
  const Scratch memory(bytes);
  void* scratch = memory.data();
  const DType dtype = p.spec.dtype;
  const std::vector<char> q = encode(p.q, dtype), k = encode(p.k, dtype), v = encode(p.v, dtype),
                          dy = encode(p.dy, dtype);
  std::vector<char> y(q.size(), '\xff'), dq = y, dk = y, dv = y;
  std::vector<float> lse(static_cast<size_t>(p.spec.batch * p.spec.heads * p.spec.q_len), std::nanf(""));
  const FlashInputs in{q.data(), k.data(), v.data(), p.lengths.empty() ? nullptr : p.lengths.data()};
  forward.run_forward(in, y.data(), lse.data(), scratch);
  backward.run_backward(in, {.y = y.data(), .lse = lse.data(), .dy = dy.data()}, {dq.data(), dk.data(), dv.data()},
                        scratch);
  return {decode(y, dtype), lse, decode(dq, dtype), decode(dk, dtype), decode(dv, dtype)};
}

// One head, in f64.
struct Exact {
  std::vector<double> y, lse, dq, dk, dv;
  explicit Exact(const Problem& p) {
    const int64_t n = p.spec.q_len, dim = p.spec.dim;
    const auto row = [dim](const std::vector<float>& x, int64_t t) { return x.data() + t * dim; };
    const auto dot = [dim](const float* a, const auto* b) {
      double sum = 0.0;
      for (int64_t d = 0; d < dim; ++d) sum += static_cast<double>(a[d]) * b[d];
      return sum;
    };
    for (auto* x : {&y, &dq, &dk, &dv}) x->resize(static_cast<size_t>(n * dim));
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double> weights(static_cast<size_t>(p.spec.causal ? i + 1 : n));
      double total = 0.0, top = -infinity;
      for (size_t j = 0; j < weights.size(); ++j) {
        weights[j] = p.spec.scale * dot(row(p.q, i), row(p.k, static_cast<int64_t>(j)));
        top = std::max(top, weights[j]);
      }
      for (double& w : weights) total += w = std::exp(w - top);
      lse.push_back(top + std::log(total));
      double* out = y.data() + i * dim;
      for (size_t j = 0; j < weights.size(); ++j)
        for (int64_t d = 0; d < dim; ++d) out[d] += weights[j] / total * row(p.v, static_cast<int64_t>(j))[d];
      const double common = dot(row(p.dy, i), out);
      for (size_t j = 0; j < weights.size(); ++j) {
        const auto at = static_cast<int64_t>(j);
        const double w = weights[j] / total, ds = p.spec.scale * w * (dot(row(p.dy, i), row(p.v, at)) - common);
        for (int64_t d = 0; d < dim; ++d) {
          dq[static_cast<size_t>(i * dim + d)] += ds * row(p.k, at)[d];
          dk[j * static_cast<size_t>(dim) + static_cast<size_t>(d)] += ds * row(p.q, i)[d];
          dv[j * static_cast<size_t>(dim) + static_cast<size_t>(d)] += w * row(p.dy, i)[d];
        }
      }
    }
  }
};

// max |a - b| / max |b|, or / 0.1 where b is about 0: the scale of what is summed is 1
template <typename T> double distance(const std::vector<float>& a, const std::vector<T>& b) {
  double worst = 0.0, largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = d <= worst ? worst : d;  // NaN is worst
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst / std::max(largest, 0.1);
}

void expect_exact(const Problem& p) {
  const Result got = run(p);
  const Exact exact(p);
  EXPECT_LE(distance(got.y, exact.y), 2e-6);
  EXPECT_LE(distance(got.lse, exact.lse), 2e-6);
  EXPECT_LE(distance(got.dq, exact.dq), 1e-5);
  EXPECT_LE(distance(got.dk, exact.dk), 1e-5);
  EXPECT_LE(distance(got.dv, exact.dv), 1e-5);
}

TEST(Flash, IsWithin2e6OfF64ForwardAnd1e5Backward) {
  for (const int64_t tokens : {1, 31, 160, 301})
    for (const bool causal : {false, true}) {
      SCOPED_TRACE(tokens);
      expect_exact(Problem(1, 1, tokens, 24, causal));
    }
}

// Every block of keys raises the maximum, or none but the first does.
TEST(Flash, SortedRowsAreExact) {
  for (const float direction : {1.0F, -1.0F}) {
    Problem p(1, 1, 100, 16, false);
    p.spec.k_tile = 8;
    for (int64_t t = 0; t < 100; ++t)
      for (int64_t d = 0; d < 16; ++d) {
        p.q[static_cast<size_t>(t * 16 + d)] = 1.0F + 0.01F * static_cast<float>(d);
        p.k[static_cast<size_t>(t * 16 + d)] = direction * 0.05F * static_cast<float>(t);
      }
    expect_exact(p);
  }
}

TEST(Flash, TilesMoveNothingByMoreThan1e6) {
  for (const bool causal : {false, true}) {
    Problem p(1, 2, 200, 20, causal);
    const Result expected = run(p);
    for (const auto& [q_tile, k_tile] : {std::pair{32, 8}, {32, 200}, {64, 24}, {256, 256}}) {
      p.spec.q_tile = q_tile, p.spec.k_tile = k_tile;
      const Result got = run(p);
      EXPECT_LE(distance(got.y, expected.y), 1e-6) << q_tile << " x " << k_tile;
      EXPECT_LE(distance(got.lse, expected.lse), 1e-6);
      EXPECT_LE(distance(got.dq, expected.dq), 1e-6);
      EXPECT_LE(distance(got.dk, expected.dk), 1e-6);
      EXPECT_LE(distance(got.dv, expected.dv), 1e-6);
    }
  }
}

// q and k lie on a grid, so that shifted scores are exact in f32; what is left is the rounding of lse to 2^-10.
TEST(Flash, AShiftOfAllScoresBy1e4ChangesNothing) {
  constexpr int64_t dim = 8;
  Problem p(1, 1, 70, dim, true);
  p.spec.scale = 1.0;
  for (float& x : p.q) x = std::round(x * 8.0F) / 8.0F;
  for (float& x : p.k) x = std::round(x * 8.0F) / 8.0F;
  for (size_t i = 0; i < p.q.size(); i += dim) p.q[i] = 1.0F, p.k[i] = 0.0F;
  const Result plain = run(p);
  for (const float shift : {1e4F, -1e4F}) {
    for (size_t i = 0; i < p.k.size(); i += dim) p.k[i] = shift;
    Result shifted = run(p);
    EXPECT_EQ(shifted.y, plain.y);
    for (const std::vector<float>* x : {&shifted.lse, &shifted.dq, &shifted.dk, &shifted.dv})
      EXPECT_TRUE(std::all_of(x->begin(), x->end(), [](float e) { return std::isfinite(e); }));
    for (size_t i = 0; i < p.q.size(); i += dim) shifted.dq[i] = plain.dq[i];  // along the shift: 1e4 times a zero
    EXPECT_LE(distance(shifted.dq, plain.dq), 2e-3);
    EXPECT_LE(distance(shifted.dk, plain.dk), 2e-3);
    EXPECT_LE(distance(shifted.dv, plain.dv), 2e-3);
  }
}

TEST(Flash, PaddingIsAsIfTheKeysWereNotThere) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    Problem p(3, 1, 40, 12, false);
    p.spec.dtype = dtype;
    p.lengths = {0, 13, 40};
    for (size_t i = 13 * 12; i < 40 * 12; ++i) p.k[480 + i] = p.v[480 + i] = std::nanf("");  // of sequence 1
    const Result got = run(p);
    for (size_t i = 0; i < 480; ++i) {
      EXPECT_EQ(got.y[i], 0.0F);
      EXPECT_EQ(got.dq[i] == 0.0F && got.dk[i] == 0.0F && got.dv[i] == 0.0F, true) << i;
    }
    EXPECT_TRUE(std::all_of(got.lse.begin(), got.lse.begin() + 40, [](float x) { return x == -infinity; }));
    for (size_t i = 480; i < got.y.size(); ++i)
      ASSERT_TRUE(std::isfinite(got.y[i]) && std::isfinite(got.dq[i]) && std::isfinite(got.dk[i]) &&
                  std::isfinite(got.dv[i]))
          << i;
    for (size_t i = 480 + 13 * 12; i < 960; ++i) EXPECT_TRUE(got.dk[i] == 0.0F && got.dv[i] == 0.0F) << i;
  }
}

bool equal(const Result& a, const Result& b) {
  return a.y == b.y && a.lse == b.lse && a.dq == b.dq && a.dk == b.dk && a.dv == b.dv;
}

TEST(Flash, Avx2AndAvx512GiveTheSameBits) {
  if (usable_isa() < Isa::avx512) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const DType dtype : {DType::f32, DType::f16})
    for (const bool causal : {false, true}) {
      Problem p(2, 2, 131, 37, causal);
      p.spec.dtype = dtype;
      p.spec.isa = FlashSpec::avx2;
      const Result narrow = run(p);
      p.spec.isa = FlashSpec::avx512;
      EXPECT_TRUE(equal(run(p), narrow)) << name(dtype) << " causal " << causal;
    }
}

// The dot products of AVX512-BF16 sum in another order, so bits differ; rounding points do not.
TEST(Flash, Bf16WithoutItsInstructionsRoundsAtTheSamePoints) {
  if (usable_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this CPU has no AVX512-BF16";
  Problem p(1, 2, 131, 37, true);
  const Result wide = run(p);
  p.spec.dtype = DType::bf16;
  const Result fast = run(p);
  p.spec.isa = FlashSpec::avx2;
  const Result slow = run(p);
  const auto rms = [](const std::vector<float>& a, const std::vector<float>& b) {
    double error = 0.0, energy = 0.0;
    for (size_t i = 0; i < a.size(); ++i) error += std::pow(a[i] - b[i], 2.0), energy += std::pow(b[i], 2.0);
    return std::sqrt(error / energy);
  };
  for (auto part : {&Result::y, &Result::dq, &Result::dk, &Result::dv}) {
    EXPECT_LE(rms(slow.*part, fast.*part), 0.2 * rms(fast.*part, wide.*part));
    EXPECT_LE(rms(fast.*part, wide.*part), 1e-2);
  }
}

TEST(Flash, MemoryIsLinearInTheLength) {
  const auto bytes = [](int64_t tokens, Flash::Pass pass) {
    Problem p(1, 1, 1, 64, true);
    p.spec.q_len = p.spec.k_len = tokens;
    p.spec.dtype = DType::bf16;
    return static_cast<double>(Flash(p.spec, pass, 2).scratch_bytes());
  };
  EXPECT_EQ(bytes(2048, Flash::forward), bytes(32768, Flash::forward));
  EXPECT_NEAR(std::log2(bytes(32768, Flash::backward) / bytes(8192, Flash::backward)) / 2.0, 1.0, 0.1);
  EXPECT_LE(bytes(16384, Flash::backward), 64e6);
}

}  // namespace
}  // namespace ringmaster::backend
