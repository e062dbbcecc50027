// SPDX-License-Identifier: Apache-2.0
// An update of a split weight is the update of the f32 weight, bit for bit, however often it runs.
#include <algorithm>
#include <cstring>

#include "core/halves.h"
#include "tests/ops/update_case.h"

namespace ringmaster::ops {
namespace {

using Bytes = std::vector<std::vector<char>>;

Bytes run(const Case& c, const Bytes& in) {
  std::vector<ir::RefTensor> tensors;
  for (size_t i = 0; i < in.size(); ++i) tensors.push_back(decode(c.sample.in[i], in[i]));
  const Bytes apart = run_kernel(c, tensors, {}), in_place = run_kernel(c, tensors, {.threads = 3, .in_place = true});
  EXPECT_EQ(apart, in_place) << c.op->name;
  return apart;
}

std::vector<float> joined_of(const std::vector<char>& high, const std::vector<char>& low) {
  std::vector<float> x(high.size() / 2);
  join_into(x.data(), reinterpret_cast<const bf16*>(high.data()), reinterpret_cast<const uint16_t*>(low.data()),
            static_cast<int64_t>(x.size()));
  return x;
}

// 20 updates of the same weights with the same gradients, in f32 and in halves; `states` with the weight.
void expect_same_bits(const char* op, size_t states, DType kept, const ir::Attrs& attrs, int64_t n = 1000) {
  const ir::Type f32s{DType::f32, {n}}, f32{DType::f32, {}}, i32{DType::i32, {}};
  Case whole = update_case(op, states, n, attrs);
  for (size_t i = 1; i < states; ++i) whole.sample.in[i].dtype = kept;
  Case split = whole;
  split.sample.in[0].dtype = DType::bf16;
  split.sample.in.insert(split.sample.in.begin() + static_cast<std::ptrdiff_t>(states), {DType::u16, {n}});
  const auto scalar = [&](const ir::Type& type, double x) { return encode({type, {x}}); };
  Bytes a, b;  // the states of each
  a.push_back(encode({f32s, draw({}, n, "weight", 0)}));
  for (size_t i = 1; i < states; ++i)
    a.push_back(encode({whole.sample.in[i], std::vector<double>(static_cast<size_t>(n))}));
  b = a;
  b[0].resize(static_cast<size_t>(2 * n));
  b.emplace_back(2 * n);
  split_into(reinterpret_cast<bf16*>(b[0].data()), reinterpret_cast<uint16_t*>(b[states].data()), a[0].data(), n);
  for (int k = 1; k <= 20; ++k) {
    const Bytes rest{encode({f32s, draw({}, n, "gradient", static_cast<uint64_t>(k))}), scalar(f32, 0.01),
                     scalar(i32, k), scalar(f32, 0.5), scalar(i32, k % 7 == 0 ? 0 : 1)};
    const auto with = [&](Bytes in) {
      in.insert(in.end(), rest.begin(), rest.end());
      return in;
    };
    a = run(whole, with(a));
    b = run(split, with(b));
    const std::vector<float> weights = joined_of(b[0], b[states]);
    ASSERT_EQ(std::memcmp(weights.data(), a[0].data(), a[0].size()), 0) << op << ", update " << k;
    for (size_t i = 1; i < states; ++i) ASSERT_EQ(a[i], b[i]) << op << ", state " << i << ", update " << k;
  }
}

TEST(SplitUpdate, IsTheUpdateOfF32) {
  expect_same_bits("adam", 3, DType::f32, {{"weight_decay", 0.1}});
  expect_same_bits("adam", 3, DType::f32, {{"weight_decay", 0.1}, {"decoupled", false}, {"limit", 0.5}});
  expect_same_bits("adam", 3, DType::bf16, {{"rounding", int64_t{5}}});
  expect_same_bits("adam", 3, DType::f32, {{"weight_decay", 0.1}}, 16384 + 513);
  expect_same_bits("adam", 3, DType::bf16, {{"rounding", int64_t{5}}}, 16384 + 513);
  expect_same_bits("sgd", 2, DType::f32, {{"momentum", 0.9}, {"nesterov", true}, {"weight_decay", 0.1}});
  expect_same_bits("sgd", 2, DType::bf16, {{"momentum", 0.9}, {"rounding", int64_t{5}}});
}

TEST(SplitUpdate, JoiningHasEveryBit) {
  const ir::Type high{DType::bf16, {65536}}, low{DType::u16, {65536}};
  std::vector<double> lows(65536);
  for (size_t i = 0; i < lows.size(); ++i) lows[i] = static_cast<double>(i);
  const Case c{find("join_master"), 0, {.in = {high, low}}};
  for (const float x : {0.0F, -0.0F, 1.0F, -3.5F, 0x1p-133F, -0x1p-126F, 0x1.fep127F, INFINITY, -INFINITY}) {
    const auto out = run(c, {encode({high, std::vector<double>(65536, x)}), encode({low, lows})});
    for (size_t i = 0; i < lows.size(); ++i) {
      uint32_t bits = 0;
      std::memcpy(&bits, out[0].data() + i * 4, 4);
      ASSERT_EQ(bits, std::bit_cast<uint32_t>(x) + static_cast<uint32_t>(static_cast<int16_t>(i))) << x << " " << i;
    }
  }
}

}  // namespace
}  // namespace ringmaster::ops
