// SPDX-License-Identifier: Apache-2.0
// A step is committed if both of its numbers are finite; the samples of the conformance suite always are.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/defs.h"

namespace ringmaster::ops {
namespace {

TEST(Decision, NeitherNumberMayBeInfiniteOrNoNumber) {
  const ir::Attrs attrs;
  const ir::Type in_types[] = {{DType::f32, {}}, {DType::f32, {}}}, out_type{DType::i32, {}};
  const auto kernel = decision_op.cpu({attrs, in_types, std::span(&out_type, 1)}, 1);
  for (const float norm : {1.0F, 3e38F, INFINITY, -INFINITY, std::nanf("")}) {
    for (const float loss : {-2.0F, 0.0F, INFINITY, -INFINITY, std::nanf("")}) {
      int32_t commit = -1;
      const void* in[] = {&norm, &loss};
      void* out[] = {&commit};
      kernel->run({in, out, nullptr, {}});
      EXPECT_EQ(commit, std::isfinite(norm) && std::isfinite(loss) ? 1 : 0) << norm << " " << loss;
    }
  }
}

}  // namespace
}  // namespace ringmaster::ops
