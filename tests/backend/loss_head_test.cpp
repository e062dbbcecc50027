// SPDX-License-Identifier: Apache-2.0
// What the loss head promises beyond its numbers, which the conformance suite judges.
#include "backend/cpu/loss_head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace ringmaster::backend {
namespace {

constexpr int64_t n = 300, width = 24, classes = 5003;  // two chunks of rows; more tiles of classes than groups

struct Head {
  std::vector<float> x, weight, d_loss, loss, dx, dweight;
  std::vector<int32_t> targets;

  Head() : d_loss(n), loss(n), dx(n * width), dweight(classes * width) {
    for (int64_t i = 0; i < n * width; ++i) x.push_back(static_cast<float>(i * 7 % 31) / 15.0F - 1.0F);
    for (int64_t i = 0; i < classes * width; ++i) weight.push_back(static_cast<float>(i * 5 % 37) / 18.0F - 1.0F);
    for (int64_t i = 0; i < n; ++i) {
      targets.push_back(static_cast<int32_t>(i * 113 % classes));
      d_loss[static_cast<size_t>(i)] = static_cast<float>(i % 5) / 4.0F;
    }
  }
  void run(LossHeadSpec::Kind kind, const float* saved_loss = nullptr) {
    LossHead head({.kind = kind, .n = n, .width = width, .classes = classes}, 3);
    std::vector<char> memory(static_cast<size_t>(head.scratch_bytes()) + 64);
    void* scratch = memory.data();
    size_t space = memory.size();
    std::align(64, static_cast<size_t>(head.scratch_bytes()), scratch, space);
    head.run({.x = x.data(),
              .weight = weight.data(),
              .targets = targets.data(),
              .saved_loss = saved_loss,
              .d_loss = d_loss.data(),
              .loss = loss.data(),
              .dx = dx.data(),
              .dweight = dweight.data()},
             scratch);
  }
};

// A training step reads the loss from the backward, an evaluator from the forward.
TEST(LossHead, LossAloneHasTheBitsOfTheLossBesideItsGradients) {
  Head alone, beside;
  alone.run(LossHeadSpec::loss);
  beside.run(LossHeadSpec::rows);
  EXPECT_TRUE(alone.loss == beside.loss);
  EXPECT_GT(*std::ranges::min_element(alone.loss), 0.0F);
}

void expect_close(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i]));
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  EXPECT_GT(largest, 0.0F);
  EXPECT_LE(worst, 1e-5F * largest);
}

TEST(LossHead, BothWaysGiveTheSameGradients) {
  Head rows, vocabulary;
  rows.run(LossHeadSpec::rows);
  vocabulary.run(LossHeadSpec::vocabulary, rows.loss.data());
  expect_close(rows.dx, vocabulary.dx);
  expect_close(rows.dweight, vocabulary.dweight);
}

// 8,192 tokens of GPT-2, 16 bit
TEST(LossHead, HoldsFewLogits) {
  constexpr int64_t tokens = 8192, vocabulary = 50304, channels = 768, logits = tokens * vocabulary * 4;
  const auto scratch = [](LossHeadSpec::Kind kind) {
    return LossHead({.kind = kind, .n = tokens, .width = channels, .classes = vocabulary, .dtype = DType::bf16}, 2)
        .scratch_bytes();
  };
  const int64_t chunk = 256 * vocabulary * 4, partial = 8 * 256 * channels * 4;
  EXPECT_GE(scratch(LossHeadSpec::rows), chunk);
  EXPECT_LE(scratch(LossHeadSpec::rows), chunk + partial + (8 << 20));
  EXPECT_LE(scratch(LossHeadSpec::vocabulary), logits / 32);
  EXPECT_LE(scratch(LossHeadSpec::loss), logits / 256);
}

}  // namespace
}  // namespace ringmaster::backend
