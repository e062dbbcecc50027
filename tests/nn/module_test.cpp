// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "nn/layers.h"

namespace ringmaster::nn {
namespace {

TEST(Module, NamesAreTheModulePath) {
  Network network("gpt");
  const Linear linear(Scope(network, "transformer") / "h" / 3 / "mlp", 4, 8);
  ASSERT_EQ(network.parameters().size(), 2U);
  EXPECT_EQ(network.parameters()[0].name, "transformer.h.3.mlp.weight");
  EXPECT_EQ(network.parameters()[0].shape, (Shape{4, 8}));
  EXPECT_EQ(network.parameters()[1].name, "transformer.h.3.mlp.bias");
  EXPECT_EQ(network.num_elements(), 40);
}

TEST(Module, OneNameIsDeclaredOnce) {
  Network network("n");
  const Scope scope(network, "a");
  scope.parameter("w", {2}, Init::zeros());
  EXPECT_THROW(scope.parameter("w", {2}, Init::zeros()), Error);
}

TEST(Module, InitialValuesDependOnSeedAndNameAloneInAnyPieces) {
  const Parameter a{"a", {1001}, Init::normal(0.5)}, b{"b", {1001}, Init::normal(0.5)};
  std::vector<float> x(1001), y(1001), z(1001), w(1001);
  initialise(a, 1, 0, x);
  initialise(a, 1, 0, std::span(y).first(400));
  initialise(a, 1, 400, std::span(y).subspan(400));
  initialise(b, 1, 0, z);
  initialise(a, 2, 0, w);
  EXPECT_EQ(x, y);
  EXPECT_NE(x, z);
  EXPECT_NE(x, w);
}

TEST(Module, NormalsHaveTheirMoments) {
  const int64_t n = 200000;
  const Parameter p{"p", {n}, {.mean = 1.0, .std = 0.5}};
  std::vector<float> x(static_cast<size_t>(n));
  initialise(p, 3, 0, x);
  double mean = 0, var = 0, kurtosis = 0;
  for (const float v : x) mean += v;
  mean /= static_cast<double>(n);
  for (const float v : x) {
    const double d = v - mean;
    var += d * d;
    kurtosis += d * d * d * d;
  }
  var /= static_cast<double>(n);
  kurtosis /= static_cast<double>(n) * var * var;
  EXPECT_NEAR(mean, 1.0, 5 * 0.5 / std::sqrt(static_cast<double>(n)));
  EXPECT_NEAR(std::sqrt(var), 0.5, 0.005);
  EXPECT_NEAR(kurtosis, 3.0, 0.1);
}

TEST(Module, OnesAndZerosAreExact) {
  std::vector<float> x(5, 7.0F);
  initialise({"g", {5}, Init::ones()}, 9, 0, x);
  EXPECT_EQ(x, std::vector<float>(5, 1.0F));
  initialise({"b", {5}, Init::zeros()}, 9, 0, x);
  EXPECT_EQ(x, std::vector<float>(5, 0.0F));
}

}  // namespace
}  // namespace ringmaster::nn
