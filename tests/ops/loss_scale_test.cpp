// SPDX-License-Identifier: Apache-2.0
// The automaton of the loss scale; parity/scaler_parity plays it against PyTorch's.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "ops/defs.h"

namespace ringmaster::ops {
namespace {

class Scaler {
 public:
  explicit Scaler(int64_t growth_interval) {
    attrs_.set("growth_interval", growth_interval);
    next_ = next_loss_scale_op.cpu({attrs_, in_, std::span(in_, 1)}, 1);
    scale_ = loss_scale_op.cpu({{}, std::span(in_, 1), out_}, 1);
  }
  void step(int32_t commit) {
    const void* in[] = {state.data(), &commit};
    void* out[] = {state.data()};
    next_->run({in, out, nullptr, {}});
  }
  std::pair<float, float> scale() const {
    float scale = 0, inverse = 0;
    const void* in[] = {state.data()};
    void* out[] = {&scale, &inverse};
    scale_->run({in, out, nullptr, {}});
    return {scale, inverse};
  }

  std::array<int32_t, 2> state{};

 private:
  ir::Attrs attrs_;
  const ir::Type in_[2] = {{DType::i32, {2}}, {DType::i32, {}}}, out_[2] = {{DType::f32, {}}, {DType::f32, {}}};
  std::unique_ptr<ir::Kernel> next_, scale_;
};

TEST(LossScale, HalvesAtOnceAndDoublesAfterTheInterval) {
  Scaler scaler(3);
  EXPECT_EQ(scaler.scale().first, 65536.0F);
  const std::pair<int32_t, float> steps[] = {{0, 32768}, {1, 32768}, {1, 32768}, {0, 16384}, {1, 16384}, {1, 16384},
                                             {1, 32768}, {1, 32768}, {1, 32768}, {1, 65536}, {0, 32768}, {0, 16384}};
  for (const auto& [commit, scale] : steps) {
    scaler.step(commit);
    EXPECT_EQ(scaler.scale().first, scale);
    EXPECT_EQ(scaler.scale().second, 1.0F / scale);
  }
}

TEST(LossScale, StaysAPowerOfTwoThatHasAnInverse) {
  Scaler up(1), down(1);
  for (int i = 0; i < 300; ++i) {
    up.step(1);
    down.step(0);
  }
  for (const Scaler* scaler : {&up, &down}) {
    EXPECT_TRUE(std::isnormal(scaler->scale().first));
    EXPECT_TRUE(std::isnormal(scaler->scale().second));
    EXPECT_EQ(scaler->scale().first * scaler->scale().second, 1.0F);
  }
}

}  // namespace
}  // namespace ringmaster::ops
