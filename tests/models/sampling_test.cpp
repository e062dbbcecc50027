// SPDX-License-Identifier: Apache-2.0
// Draws against a plain reference: sort all tokens, keep by the rules, walk the kept ones in the order of their ids.
#include "models/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/philox.h"

namespace ringmaster::models {
namespace {

struct Token {
  int32_t id;
  float logit;
  double odds;
};

std::vector<Token> kept_by_sorting(const std::vector<float>& logits, const Choice& choice) {
  const float best = *std::max_element(logits.begin(), logits.end());
  std::vector<Token> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double gap = static_cast<double>(logits[i]) - static_cast<double>(best);
    all.push_back({static_cast<int32_t>(i), logits[i], std::exp(gap / choice.temperature)});
  }
  std::sort(all.begin(), all.end(),
            [](const Token& a, const Token& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; });
  if (choice.top_k > 0) all.resize(std::min(all.size(), static_cast<size_t>(choice.top_k)));
  if (choice.top_p < 1.0) {
    double total = 0, mass = 0;
    for (const Token& t : all) total += t.odds;
    for (size_t n = 0; n < all.size(); ++n) {
      mass += all[n].odds;
      if (mass < choice.top_p * total) continue;
      all.resize(n + 1);
      break;
    }
  }
  return all;
}

int32_t reference(const std::vector<float>& logits, const Choice& choice, double u) {
  std::vector<Token> kept = kept_by_sorting(logits, choice);
  const int32_t best = kept.front().id;
  std::sort(kept.begin(), kept.end(), [](const Token& a, const Token& b) { return a.id < b.id; });
  double total = 0;
  for (const Token& t : kept) total += t.odds;
  double left = u * total;
  for (const Token& t : kept)
    if ((left -= t.odds) < 0) return t.id;
  return best;
}

// Few distinct values: most logits have equals.
std::vector<float> logits_of(uint32_t n, uint32_t seed, uint32_t distinct) {
  std::vector<float> logits;
  for (uint32_t i = 0; i < n; ++i)
    logits.push_back(static_cast<float>(philox4x32_10({i, seed, 0, 0}, {1, 2})[0] % distinct) * 6.0F /
                     static_cast<float>(distinct));
  return logits;
}

TEST(Sampling, DrawsAreThoseOfThePlainReference) {
  for (const uint32_t distinct : {3U, 17U, 100000U}) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const std::vector<float> logits = logits_of(1 + seed * 5, seed, distinct);
      for (const double temperature : {0.3, 1.0, 2.5})
        for (const int64_t top_k : {0, 1, 2, 7, 40, 1000})
          for (const double top_p : {1e-9, 0.1, 0.5, 0.9, 1.0})
            for (const double u : {0.0, 0.2, 0.5, 0.77, 0.999999999}) {
              const Choice choice{.temperature = temperature, .top_k = top_k, .top_p = top_p};
              ASSERT_EQ(draw_token(logits, choice, u), reference(logits, choice, u))
                  << "temperature " << temperature << " top_k " << top_k << " top_p " << top_p << " u " << u;
            }
    }
  }
}

TEST(Sampling, AmongEqualsTheLowestIdComesFirst) {
  const std::vector<float> logits{1, 3, 2, 3, 3, 2};
  const auto drawn = [&](const Choice& choice) {
    std::set<int32_t> ids;
    for (int i = 0; i < 1000; ++i) ids.insert(draw_token(logits, choice, i / 1000.0));
    return ids;
  };
  EXPECT_EQ(drawn({.temperature = 0}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn({.top_k = 1}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn({.top_k = 2}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn({.top_k = 4}), (std::set<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(drawn({.top_p = 1e-6}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn({.top_k = 2, .top_p = 0.5}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn({}), (std::set<int32_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Sampling, TheNucleusIsTheSmallestSetThatReachesItsMass) {
  // odds 1/2, 1/4, 1/8, 1/8
  const std::vector<float> logits{std::log(4.0F), std::log(2.0F), 0, 0};
  const auto most = [&](double top_p) { return draw_token(logits, {.top_p = top_p}, 0.9999999); };
  EXPECT_EQ(most(0.4), 0);
  EXPECT_EQ(most(0.7), 1);
  EXPECT_EQ(most(0.8), 2);
  EXPECT_EQ(most(0.9), 3);
}

TEST(Sampling, FrequenciesAreTheOdds) {
  const std::vector<float> logits{0, 1, 2, 3};
  const Choice choice{.temperature = 2.0, .top_k = 3};
  std::vector<int> seen(4);
  const int n = 10000;
  for (int i = 0; i < n; ++i) ++seen[static_cast<size_t>(draw_token(logits, choice, (i + 0.5) / n))];
  const double total = std::exp(0.5) + std::exp(1.0) + std::exp(1.5);
  EXPECT_EQ(seen[0], 0);
  for (int t = 1; t < 4; ++t) EXPECT_NEAR(seen[static_cast<size_t>(t)] / double{n}, std::exp(t / 2.0) / total, 1e-3);
}

// Answers that the token behind `t` is t + 1, from the selected position of the window.
class Counting : public ir::Program {
 public:
  explicit Counting(size_t seq_len) : tokens_(seq_len, -1), select_(seq_len, -1.0F), logits_(100) {}
  int64_t first_grain() const override { return 0; }
  int64_t local_grains() const override { return 1; }
  int64_t num_grains() const override { return 1; }
  void set_scalar(std::string_view, double) override {}
  void* input(std::string_view name, int64_t) override {
    return name == "tokens" ? static_cast<void*>(tokens_.data()) : select_.data();
  }
  void run(const ir::RunContext&, int64_t) override {
    EXPECT_EQ(std::count(select_.begin(), select_.end(), 1.0F), 1);
    EXPECT_EQ(std::count(select_.begin(), select_.end(), 0.0F), static_cast<std::ptrdiff_t>(select_.size()) - 1);
    const auto at = std::find(select_.begin(), select_.end(), 1.0F) - select_.begin();
    std::fill(logits_.begin(), logits_.end(), 0.0F);
    logits_[static_cast<size_t>(tokens_[static_cast<size_t>(at)]) + 1] = 1.0F;
    window = {tokens_.begin(), tokens_.begin() + at + 1};
  }
  std::span<const float> output(std::string_view) const override { return logits_; }

  std::vector<int32_t> window;  // of the last run, up to the selected token

 private:
  std::vector<int32_t> tokens_;
  std::vector<float> select_, logits_;
};

TEST(GenerateText, EachTokenFollowsTheNewestOfTheWindow) {
  Counting program(4);
  std::vector<int32_t> heard;
  const auto made =
      generate_text({.sampler = program}, {3, 9}, {.seq_len = 4, .tokens = 6, .choice = {.temperature = 0}},
                    [&](int32_t token) { heard.push_back(token); });
  EXPECT_EQ(made, (std::vector<int32_t>{10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(heard, made);
  EXPECT_EQ(program.window, (std::vector<int32_t>{11, 12, 13, 14}));
  generate_text({.sampler = program}, {3, 9}, {.seq_len = 4, .tokens = 1, .choice = {.temperature = 0}}, nullptr);
  EXPECT_EQ(program.window, (std::vector<int32_t>{3, 9}));
}

}  // namespace
}  // namespace ringmaster::models
