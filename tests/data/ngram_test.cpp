// SPDX-License-Identifier: Apache-2.0
#include "data/ngram.h"

#include "tests/data/files.h"

#include <cmath>
#include <map>
#include <set>

namespace ringmaster::data {
namespace {

// The definition in ngram.h, by counting substrings: one map a context, no trie, no ids.
double reference_nats(const std::string& train, const std::string& validation, int order, double vocab_size) {
  struct Context {
    std::map<char, double> tokens;
    double followed = 0;
  };
  std::map<std::string, Context> contexts;
  for (size_t i = 0; i < train.size(); ++i) {
    for (size_t j = 0; j <= static_cast<size_t>(order) && j <= i; ++j) {
      Context& context = contexts[train.substr(i - j, j)];
      ++context.tokens[train[i]];
      ++context.followed;
    }
  }
  double nats = 0;
  for (size_t i = 1; i < validation.size(); ++i) {
    double p = 1 / vocab_size;
    for (size_t j = 0; j <= static_cast<size_t>(order) && j <= i; ++j) {
      const auto found = contexts.find(validation.substr(i - j, j));
      if (found == contexts.end()) continue;
      const Context& context = found->second;
      const auto token = context.tokens.find(validation[i]);
      const double seen = token == context.tokens.end() ? 0 : token->second;
      const auto distinct = static_cast<double>(context.tokens.size());
      p = (seen + distinct * p) / (context.followed + distinct);
    }
    nats -= std::log(p);
  }
  return nats / static_cast<double>(validation.size() - 1);
}

TEST(NGram, EqualsItsDefinition) {
  const TempFolder folder;
  std::string text;  // few letters, so that contexts repeat; some appear first in the validation split
  for (const char c : noise(3000)) text += static_cast<char>('a' + c % 5);
  text += "zq" + text.substr(0, 400) + "zzqz";
  const Dataset dataset = open_dataset({.path = {folder.write("a.txt", text)}, .validation_fraction = 0.2});
  const std::string train = text.substr(0, static_cast<size_t>(dataset.train.size));
  const std::string validation = text.substr(static_cast<size_t>(dataset.train.size));
  for (int order = 0; order <= 6; ++order) {
    const double expected = reference_nats(train, validation, order, 256);
    EXPECT_NEAR(ngram_nats(dataset.train, dataset.validation, {.order = order, .vocab_size = 256}), expected,
                1e-12 * expected)
        << "order " << order;
  }
}

TEST(NGram, ConstantTextCostsNextToNothing) {
  const TempFolder folder;
  const Split split = open_whole({.path = {folder.write("a.txt", std::string(10000, 'x'))}});
  EXPECT_LT(ngram_nats(split, split, {.order = 1, .vocab_size = 256}), 1e-6);
}

TEST(NGram, UnseenTokenFallsBackToTheUniformDistribution) {
  const TempFolder folder;
  const Dataset dataset =
      open_dataset({.path = {folder.write("a.txt", "aaa")}, .validation_path = folder.write("b.txt", "zy")});
  // context "z" is unseen; under the empty one "y" has count 0 of 3 and 1 distinct token: (0 + 1/256) / (3 + 1)
  EXPECT_NEAR(ngram_nats(dataset.train, dataset.validation, {.order = 2, .vocab_size = 256}), std::log(4 * 256), 1e-12);
}

TEST(NGram, ReproducesThePublishedBaselinesOfTinyShakespeare) {
  const std::string file = shared_file("data/text/tinyshakespeare.txt");
  if (file.empty())
    GTEST_SKIP() << "the published figures are of tinyshakespeare.txt, which is not here and no part of the project";
  const Dataset dataset = open_dataset({.path = {file}, .validation_fraction = 0.1});
  // the README of the data: nats per character of the validation split, orders 0 to 5
  const std::vector<double> published = {3.347, 2.486, 2.049, 1.774, 1.669, 1.698};
  for (size_t order = 0; order < published.size(); ++order) {
    EXPECT_NEAR(ngram_nats(dataset.train, dataset.validation, {.order = static_cast<int>(order), .vocab_size = 256}),
                published[order], 0.0005)
        << "order " << order;
  }
}

}  // namespace
}  // namespace ringmaster::data
