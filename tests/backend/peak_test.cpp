// SPDX-License-Identifier: Apache-2.0
// A way that computes another product would be timed as well as any: each must compute ours.
#include "backend/cpu/peak.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

namespace ringmaster::backend {
namespace {

float value(const PeakBuffer& buffer, DType dtype, int64_t i) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(buffer.data())[i];
  if (dtype == DType::bf16) return to_float(reinterpret_cast<const bf16*>(buffer.data())[i]);
  return to_float(reinterpret_cast<const f16*>(buffer.data())[i]);
}

double worst_error(const GemmAlone& gemm, const MatmulSpec& s) {
  const std::vector<float> c = gemm.result();
  double worst = 0;
  for (int64_t batch = 0; batch < s.batch; ++batch)
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < s.k; ++p) {
          sum += static_cast<double>(
                     value(gemm.a(), s.dtype, batch * s.m * s.k + (s.transpose_a ? p * s.m + i : i * s.k + p))) *
                 static_cast<double>(
                     value(gemm.b(), s.dtype, batch * s.k * s.n + (s.transpose_b ? j * s.k + p : p * s.n + j)));
        }
        worst = std::max(worst, std::abs(c[static_cast<size_t>((batch * s.m + i) * s.n + j)] - sum));
      }
  return worst;
}

TEST(Peak, EveryWayComputesTheProduct) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const int64_t batch : {1, 3}) {
          const MatmulSpec spec{batch, 50, 70, 33, transpose_a, transpose_b, dtype};
          const std::vector<std::string> ways = GemmAlone(spec, 1).ways();
          EXPECT_EQ(ways.back(), "tasks");
          for (size_t way = 0; way < ways.size(); ++way) {
            GemmAlone gemm(spec, 2);  // of its own: c holds nothing of another way
            // sums of 33 products below 1/4, stored in 8, 11 or 24 bits
            const double tolerance = dtype == DType::f32 ? 1e-5 : 0.03;
            EXPECT_GT(worst_error(gemm, spec), tolerance);
            gemm.run(way);
            EXPECT_LT(worst_error(gemm, spec), tolerance) << name(dtype) << " " << ways[way];
          }
        }
}

TEST(Peak, F32HasMoreThanOneWay) { EXPECT_GE(GemmAlone({.m = 64, .n = 64, .k = 64}, 2).ways().size(), 2U); }

TEST(Peak, LeavesTheCallersThreadCountAlone) {
  const int before = omp_get_max_threads();
  GemmAlone gemm({.m = 64, .n = 64, .k = 64}, before + 1);
  for (size_t way = 0; way < gemm.ways().size(); ++way) gemm.run(way);
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(Peak, BestIsOfSeveralRuns) {
  int runs = 0;
  EXPECT_GE(best_seconds([&] { ++runs; }), 0.0);
  EXPECT_GE(runs, 3);
  runs = 0;
  best_seconds([&] { ++runs; }, {.to_beat = -1.0});
  EXPECT_EQ(runs, 1) << "nothing beats that";
}

}  // namespace
}  // namespace ringmaster::backend
