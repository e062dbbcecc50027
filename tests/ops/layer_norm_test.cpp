// SPDX-License-Identifier: Apache-2.0
// What a norm's kernel does beside the norm has the bits of the nodes that it stands for.
#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {
namespace {

using Bytes = std::vector<std::vector<char>>;

Case case_of(const char* op, std::vector<ir::Type> in, const ir::Attrs& attrs = {}) {
  return {find(op), 0, {.in = std::move(in), .attrs = attrs}};
}
Bytes run(const Case& c, const std::vector<ir::RefTensor>& in) { return run_kernel(c, in, {.threads = 2}); }

// add(a, b), or a cast of x
Bytes sum_of(const ir::RefTensor& a, const ir::RefTensor& b) { return run(case_of("add", {a.type, b.type}), {a, b}); }
Bytes cast_of(const ir::Type& type, const std::vector<char>& x, const std::string& dtype) {
  return run(case_of("cast", {type}, {{"dtype", dtype}}), {decode(type, x)});
}

constexpr DType dtypes[] = {DType::f32, DType::bf16, DType::f16};
const Shape shape{97, 770};  // several tiles of rows and a last one that is shorter, lanes left over
const ir::Type vector{DType::f32, {770}}, statistic{DType::f32, {97}};

TEST(LayerNorm, ASumInFrontOfItHasTheBitsOfASumApart) {
  for (const DType dtype : dtypes) {
    const ir::Type x{dtype, shape};
    const Case joined = case_of("layer_norm", {x, vector, vector, x});
    const std::vector<ir::RefTensor> in = draw_inputs(joined);
    const Bytes together = run(joined, in), sum = sum_of(in[0], in[3]);
    const Bytes apart = run(case_of("layer_norm", {x, vector, vector}), {decode(x, sum[0]), in[1], in[2]});
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(together[i] == apart[i]) << name(dtype) << ", output " << i;
    EXPECT_TRUE(together[3] == sum[0]) << name(dtype);
  }
}

TEST(LayerNorm, ANarrowResultHasTheBitsOfACast) {
  const ir::Type x{DType::f32, shape};
  const std::vector<ir::RefTensor> in = draw_inputs(case_of("layer_norm", {x, vector, vector}));
  const Bytes wide = run(case_of("layer_norm", {x, vector, vector}), in);
  for (const std::string dtype : {"bf16", "f16"}) {
    const Bytes narrow = run(case_of("layer_norm", {x, vector, vector}, {{"narrow_out", dtype}}), in);
    EXPECT_TRUE(narrow[0] == cast_of(x, wide[0], dtype)[0]) << dtype;
    EXPECT_TRUE(narrow[1] == wide[1] && narrow[2] == wide[2]) << dtype;
  }
}

TEST(LayerNorm, ASumWithItsGradientHasTheBitsOfASumApart) {
  for (const DType dtype : dtypes) {
    const ir::Type x{dtype, shape};
    const Case joined = case_of("layer_norm_grad", {x, x, statistic, statistic, vector, x});
    const std::vector<ir::RefTensor> in = draw_inputs(joined);
    const Bytes dx =
        run(case_of("layer_norm_grad", {x, x, statistic, statistic, vector}), {in[0], in[1], in[2], in[3], in[4]});
    const Bytes sum = sum_of(decode(x, dx[0]), in[5]);
    EXPECT_TRUE(run(joined, in)[0] == sum[0]) << name(dtype);
    if (dtype != DType::f32) continue;
    for (const std::string narrow : {"bf16", "f16"}) {
      const Bytes both = run(case_of("layer_norm_grad", joined.sample.in, {{"narrow", narrow}}), in);
      EXPECT_TRUE(both[0] == sum[0]) << narrow;
      EXPECT_TRUE(both[1] == cast_of(x, sum[0], narrow)[0]) << narrow;
    }
  }
}

}  // namespace
}  // namespace ringmaster::ops
