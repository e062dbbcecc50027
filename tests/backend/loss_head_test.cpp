// SPDX-License-Identifier: Apache-2.0
// What the loss head promises beyond its numbers, which the conformance suite judges.
#include "backend/cpu/loss_head.h"

#include "backend/cpu/loss_head_impl.h"
#include "core/isa.h"
#include "tests/backend/scratch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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
    const Scratch scratch(head.scratch_bytes());
    head.run({.x = x.data(),
              .weight = weight.data(),
              .targets = targets.data(),
              .saved_loss = saved_loss,
              .d_loss = d_loss.data(),
              .loss = loss.data(),
              .dx = dx.data(),
              .dweight = dweight.data()},
             scratch.data());
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

// largest difference within `tolerance` of the largest number
void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  float largest = 1e-20F, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i]));
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  EXPECT_LE(worst, tolerance * largest);
}

void expect_close(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_TRUE(std::ranges::any_of(a, [](float x) { return std::abs(x) > 0.0F; }));
  expect_near(a, b, 1e-5F);
}

TEST(LossHead, BothWaysGiveTheSameGradients) {
  Head rows, vocabulary;
  rows.run(LossHeadSpec::rows);
  vocabulary.run(LossHeadSpec::vocabulary, rows.loss.data());
  expect_close(rows.dx, vocabulary.dx);
  expect_close(rows.dweight, vocabulary.dweight);
}

// bf16: the tiles of our own against oneDNN's products
struct Narrow {
  int64_t n, width, classes;
  std::vector<bf16> x, weight, dx;
  std::vector<float> loss, d_loss, dweight;
  std::vector<int32_t> targets;

  Narrow(int64_t rows, int64_t channels, int64_t vocabulary)
      : n(rows), width(channels), classes(vocabulary), dx(static_cast<size_t>(rows * channels)) {
    loss.resize(static_cast<size_t>(n));
    dweight.resize(static_cast<size_t>(classes * width), 1e30F);  // nothing is left of it
    const auto number = [](int64_t i) { return static_cast<float>(i * 7919 % 1021) / 510.0F - 1.0F; };
    for (int64_t i = 0; i < n * width; ++i) x.push_back(to_bf16(number(i)));
    for (int64_t i = 0; i < classes * width; ++i) weight.push_back(to_bf16(number(i * 31 + 5)));
    for (int64_t i = 0; i < n; ++i) {
      targets.push_back(static_cast<int32_t>(i * 113 % classes));
      d_loss.push_back(number(i + 3));
    }
  }
  void run(LossHeadSpec::Kind kind, bool own, int threads, const float* saved_loss = nullptr, bool add = false) {
    const LossHeadSpec spec{.kind = kind, .n = n, .width = width, .classes = classes, .dtype = DType::bf16};
    const auto head = own ? make_bf16_loss_head(spec, threads) : make_dnnl_loss_head(spec, threads);
    const Scratch scratch(head->scratch_bytes());
    head->run({.x = x.data(),
               .weight = weight.data(),
               .targets = targets.data(),
               .saved_loss = saved_loss,
               .d_loss = d_loss.data(),
               .loss = loss.data(),
               .dx = dx.data(),
               .dweight = dweight.data(),
               .fold = {.add = add}},
              static_cast<char*>(scratch.data()));
  }
  std::vector<float> wide_dx() const {
    std::vector<float> wide;
    for (const bf16 value : dx) wide.push_back(to_float(value));
    return wide;
  }
};

TEST(LossHead, TilesOfOurOwnGiveWhatOneDnnGives) {
  if (usable_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this CPU has no AVX512-BF16";
  EXPECT_FALSE(has_bf16_loss_head({.width = 3, .dtype = DType::bf16}));
  EXPECT_EQ(has_bf16_loss_head({.width = 2, .dtype = DType::bf16}), usable_isa() != Isa::amx);  // oneDNN has AMX
  for (const auto& [rows, channels, vocabulary] :
       {std::array<int64_t, 3>{1, 2, 1}, {1, 34, 7}, {33, 24, 130}, {300, 96, 65}, {257, 66, 1003}, {600, 32, 2000}}) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << channels << " channels, " << vocabulary << " classes");
    Narrow theirs(rows, channels, vocabulary), ours = theirs, sliced = theirs, alone = theirs, threads = theirs;
    theirs.run(LossHeadSpec::rows, false, 2);
    ours.run(LossHeadSpec::rows, true, 1);
    threads.run(LossHeadSpec::rows, true, 3);
    alone.run(LossHeadSpec::loss, true, 2);
    sliced.run(LossHeadSpec::vocabulary, true, 3, ours.loss.data());
    expect_near(theirs.loss, ours.loss, 1e-6F);
    EXPECT_TRUE(alone.loss == ours.loss && threads.loss == ours.loss);
    EXPECT_TRUE(threads.dweight == ours.dweight && threads.wide_dx() == ours.wide_dx());
    expect_near(theirs.dweight, ours.dweight, 2e-3F);
    expect_near(sliced.dweight, ours.dweight, 2e-3F);
    expect_near(theirs.wide_dx(), ours.wide_dx(), 8e-3F);
    expect_near(sliced.wide_dx(), ours.wide_dx(), 8e-3F);
  }
}

// A sum over grains takes a gradient as a whole.
TEST(LossHead, SlicesAreAddedFinished) {
  for (const bool own : {false, true}) {
    if (own && usable_isa() < Isa::avx512_bf16) continue;
    Narrow stored(600, 32, 700), added = stored;
    stored.run(LossHeadSpec::vocabulary, own, 2, stored.loss.data());
    for (size_t i = 0; i < added.dweight.size(); ++i) added.dweight[i] = static_cast<float>(i % 97) / 7.0F;
    const std::vector<float> before = added.dweight;
    added.run(LossHeadSpec::vocabulary, own, 2, added.loss.data(), true);
    for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(added.dweight[i], before[i] + stored.dweight[i]) << i;
  }
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
