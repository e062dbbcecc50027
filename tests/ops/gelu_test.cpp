// SPDX-License-Identifier: Apache-2.0
// Far from zero gelu is its limit: the exponential that both directions take is bounded before it is taken.
#include <cmath>
#include <limits>

#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double far_out[] = {9.5, 9.75, 20.0, 60.0, 300.0, 6e4, infinity};

std::vector<double> run(const char* op, DType dtype, std::vector<std::vector<double>> in) {
  const ir::Type type{dtype, {static_cast<int64_t>(in[0].size())}};
  std::vector<ir::RefTensor> tensors;
  for (std::vector<double>& values : in) tensors.push_back({type, std::move(values)});
  const Case c{find(op), 0, {.in = std::vector<ir::Type>(tensors.size(), type)}};
  return decode(type, run_kernel(c, tensors, {.threads = 1})[0]).data;
}

TEST(Gelu, FarOutIsItsLimit) {
  std::vector<double> x(std::begin(far_out), std::end(far_out));
  for (const double value : far_out) x.push_back(-value);
  const size_t half = std::size(far_out);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const std::vector<double> y = run("gelu", dtype, {x}),
                              dx = run("gelu_grad", dtype, {std::vector<double>(x.size(), 1.0), x});
    for (size_t i = 0; i < half; ++i) {
      EXPECT_EQ(y[i], decode({dtype, {1}}, encode({{dtype, {1}}, {x[i]}})).data[0]) << name(dtype) << ' ' << x[i];
      EXPECT_EQ(dx[i], 1.0) << name(dtype) << ' ' << x[i];
      EXPECT_LT(std::abs(y[half + i]), 1e-30) << name(dtype) << ' ' << -x[i];
      EXPECT_LT(std::abs(dx[half + i]), 1e-28) << name(dtype) << ' ' << -x[i];
    }
  }
}

TEST(Gelu, NanStays) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    EXPECT_TRUE(std::isnan(run("gelu", dtype, {{nan}})[0])) << name(dtype);
    EXPECT_TRUE(std::isnan(run("gelu_grad", dtype, {{1.0}, {nan}})[0])) << name(dtype);
    EXPECT_TRUE(std::isnan(run("gelu_grad", dtype, {{nan}, {1.0}})[0])) << name(dtype);
  }
}

}  // namespace
}  // namespace ringmaster::ops
