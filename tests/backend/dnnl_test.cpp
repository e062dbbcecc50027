// SPDX-License-Identifier: Apache-2.0
// What the oneDNN wrapper promises beyond the numbers, which the conformance suite judges op by op.
#include "backend/cpu/dnnl.h"
#include "tests/backend/scratch.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

namespace ringmaster::backend {
namespace {

std::vector<float> product(int threads, int64_t m, int64_t n, int64_t k) {
  std::vector<float> a(static_cast<size_t>(m * k)), b(static_cast<size_t>(k * n)), c(static_cast<size_t>(m * n));
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 17) / 16.0F - 0.5F;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 23) / 22.0F - 0.5F;
  Matmul matmul({.m = m, .n = n, .k = k}, threads);
  const Scratch scratch(matmul.scratch_bytes());
  matmul.run(a.data(), b.data(), nullptr, c.data(), scratch.data());
  return c;
}

TEST(Matmul, LeavesTheCallersThreadCountAlone) {
  for (const int threads : {1, 2, 5}) {
    const int before = omp_get_max_threads();
    product(threads, 300, 700, 40);
    EXPECT_EQ(omp_get_max_threads(), before) << threads << " threads";
  }
}

// Ranks of a test are threads of one process: each brings its own OpenMP team.
TEST(Matmul, RunsInSeveralThreadsOfAProcessAtOnce) {
  const std::vector<float> expected = product(1, 130, 257, 65);
  std::vector<std::vector<float>> got(4);
  {
    std::vector<std::jthread> ranks;
    for (auto& c : got) ranks.emplace_back([&c] { c = product(2, 130, 257, 65); });
  }
  for (const auto& c : got) EXPECT_TRUE(c == expected);
}

TEST(Matmul, HasNothingToDoForNoRows) { EXPECT_TRUE(product(2, 0, 8, 8).empty()); }

// 16-bit factors whose products and sums are exact in f32 and not in 16 bits.
template <typename T> void expect_unrounded(DType dtype, T (*narrow)(float)) {
  constexpr int64_t m = 300, n = 70, k = 40;
  std::vector<T> a, b;
  for (int64_t i = 0; i < m * k; ++i) a.push_back(narrow(static_cast<float>(i % 17) / 16.0F - 0.5F));
  for (int64_t i = 0; i < k * n; ++i) b.push_back(narrow(static_cast<float>(i % 23) / 16.0F - 0.5F));
  Matmul first({.m = m, .n = n, .k = k, .dtype = dtype, .out = DType::f32}, 2);
  Matmul more({.m = m, .n = n, .k = k, .dtype = dtype, .out = DType::f32, .panels = true}, 2);
  const int64_t bytes = std::max(first.scratch_bytes(), more.scratch_bytes());
  const Scratch memory(bytes);
  void* scratch = memory.data();
  std::vector<float> c(static_cast<size_t>(m * n), -1.0F);
  first.run(a.data(), b.data(), nullptr, c.data(), scratch);
  for (const float times : {1.0F, 2.0F, 3.0F}) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += to_float(a[static_cast<size_t>(i * k + p)]) * to_float(b[static_cast<size_t>(p * n + j)]);
        ASSERT_EQ(c[static_cast<size_t>(i * n + j)], times * sum) << i << ", " << j;
      }
    more.run_fold(a.data(), b.data(), nullptr, c.data(), scratch, {.add = true});
  }
}

TEST(Matmul, SumsOf16BitFactorsLeaveInF32AndAddUp) {
  expect_unrounded<bf16>(DType::bf16, to_bf16);
  expect_unrounded<f16>(DType::f16, to_f16);
}

TEST(Rows, HasNothingToDoForNoRows) {
  Rows softmax({.kind = RowsSpec::softmax, .rows = 0, .width = 8}, 2);
  EXPECT_EQ(softmax.scratch_bytes(), 0);
  softmax.run({nullptr}, {nullptr}, nullptr);
}

}  // namespace
}  // namespace ringmaster::backend
