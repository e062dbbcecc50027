// SPDX-License-Identifier: Apache-2.0
// The 16-bit copy that an update leaves of its weight is the weight rounded, bit for bit: in the caches and past them, where a step
// is committed and where it is not.
#include "core/error.h"
#include "tests/ops/update_case.h"

namespace ringmaster::ops {
namespace {

void expect_rounded(const char* op, size_t states, int64_t n, DType dtype, bool commit) {
  const Case c = update_case(op, states, n, {{"narrow", std::string(name(dtype))}});
  std::vector<ir::RefTensor> in;
  for (size_t i = 0; i <= states; ++i)
    in.push_back({c.sample.in[i], draw({.kind = i == 2 ? ir::Fill::positive : ir::Fill::normal}, n, op, i)});
  for (const double scalar : {0.01, 3.0, 0.5, commit ? 1.0 : 0.0}) in.push_back({c.sample.in[in.size()], {scalar}});
  const auto out = run_kernel(c, in, {.threads = 2});
  EXPECT_EQ(out, run_kernel(c, in, {.threads = 3, .in_place = true}));
  const auto* weight = reinterpret_cast<const float*>(out.front().data());
  const auto* copy = reinterpret_cast<const uint16_t*>(out.back().data());
  EXPECT_EQ(weight[0] == static_cast<float>(in[0].data[0]), !commit);
  for (int64_t i = 0; i < n; ++i)
    ASSERT_EQ(copy[i], dtype == DType::bf16 ? to_bf16(weight[i]).bits : to_f16(weight[i]).bits)
        << op << ", " << name(dtype) << ", element " << i << " of " << n;
}

TEST(UpdateCopy, IsTheWeightRounded) {
  constexpr int64_t past_the_caches = (int64_t{1} << 21) + 16384 + 7;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int64_t n : {int64_t{1}, int64_t{17}, int64_t{513}, int64_t{40000}, past_the_caches})
      for (const bool commit : {true, false}) expect_rounded("adam", 3, n, dtype, commit);
    expect_rounded("sgd", 2, past_the_caches, dtype, true);
  }
}

TEST(UpdateCopy, IsRefusedInOtherTypes) {
  for (const char* dtype : {"f32", "i32", "u16", "fp8"}) {
    const Case c = update_case("adam", 3, 8, {{"narrow", std::string(dtype)}});
    EXPECT_THROW(c.outputs(), Error) << dtype;
  }
}

}  // namespace
}  // namespace ringmaster::ops
