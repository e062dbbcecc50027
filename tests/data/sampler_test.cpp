// SPDX-License-Identifier: Apache-2.0
// Training samples are a function of (seed, global index); validation covers each target exactly once.
#include "data/sampler.h"

#include "data/evaluation.h"
#include "tests/data/files.h"

#include <numeric>
#include <set>

namespace ringmaster::data {
namespace {

struct Rows {
  std::vector<int32_t> tokens, targets;
  std::vector<float> mask;

  Rows(int64_t rows, int64_t seq_len)
      : tokens(static_cast<size_t>(rows * seq_len), -1),
        targets(static_cast<size_t>(rows * seq_len), -1),
        mask(static_cast<size_t>(rows * seq_len), -1.0F) {}
  BatchMemory at(int64_t element) {
    return BatchMemory([this, element](std::string_view name) -> void* {
      if (name == "tokens") return tokens.data() + element;
      if (name == "targets") return targets.data() + element;
      return name == "mask" ? mask.data() + element : nullptr;
    });
  }
  bool operator==(const Rows&) const = default;
};

// A file whose token i is i, so that a window shows where it was cut.
Split counting(const TempFolder& folder, int32_t n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return open_whole({.path = {folder.write("counting.bin", u16_bytes(ids))}});
}

TEST(Sampler, WindowsAreTokensAndTheNextTokens) {
  const TempFolder folder;
  const Sampler sampler(counting(folder, 1000), {.seed = 1, .seq_len = 7, .global_batch_size = 4});
  Rows rows(4, 7);
  sampler.fill(8, 4, rows.at(0));
  for (int64_t b = 0; b < 4; ++b) {
    for (int64_t t = 0; t < 7; ++t) {
      const auto i = static_cast<size_t>(b * 7 + t);
      EXPECT_EQ(rows.tokens[i], sampler.window_start(8 + b) + t);
      EXPECT_EQ(rows.targets[i], rows.tokens[i] + 1);
      EXPECT_EQ(rows.mask[i], 1.0F);
    }
  }
}

TEST(Sampler, AnEpochVisitsEveryWindowOnceWithoutOverlap) {
  const TempFolder folder;
  const int64_t seq_len = 16;
  const Split split = counting(folder, 2000);
  const Sampler sampler(split, {.seed = 5, .seq_len = seq_len, .global_batch_size = 3});
  EXPECT_EQ(sampler.per_epoch(), 2000 / 16 - 1);
  std::set<int64_t> offsets;
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < sampler.per_epoch(); ++i) {
      starts.push_back(sampler.window_start(epoch * sampler.per_epoch() + i));
    }
    orders.insert(starts);
    std::sort(starts.begin(), starts.end());
    offsets.insert(starts.front());
    for (size_t i = 0; i < starts.size(); ++i) ASSERT_EQ(starts[i], starts.front() + static_cast<int64_t>(i) * seq_len);
    EXPECT_GE(starts.front(), 0);
    EXPECT_LE(starts.back() + seq_len, split.size - 1);
  }
  EXPECT_EQ(offsets.size(), 16U);  // every cut occurs
  EXPECT_EQ(*offsets.rbegin(), 15);
  EXPECT_EQ(orders.size(), 200U);  // no epoch repeats another
}

TEST(Sampler, RanksAndGrainsDoNotChangeTheSamples) {
  const TempFolder folder;
  const int64_t seq_len = 5, batch = 12;
  const Split split = counting(folder, 200);  // 39 windows: batches cross epochs
  const Sampler sampler(split, {.seed = 2, .seq_len = seq_len, .global_batch_size = batch});
  for (int64_t step = 0; step < 10; ++step) {
    Rows whole(batch, seq_len);
    sampler.fill(step * batch, batch, whole.at(0));
    for (const int64_t ranks : {2, 3, 4, 6, 12}) {
      const int64_t share = batch / ranks;
      Rows parts(batch, seq_len);
      for (int64_t rank = ranks; rank-- > 0;) {  // a rank has a sampler of its own; order does not matter
        const Sampler own(split, {.seed = 2, .seq_len = seq_len, .global_batch_size = batch});
        own.fill(step * batch + rank * share, share, parts.at(rank * share * seq_len));
      }
      EXPECT_EQ(parts, whole) << ranks << " ranks";
    }
  }
}

TEST(Sampler, SeedChangesTheOrder) {
  const TempFolder folder;
  const Split split = counting(folder, 1000);
  const auto starts = [&](uint64_t seed) {
    const Sampler sampler(split, {.seed = seed, .seq_len = 8, .global_batch_size = 1});
    std::vector<int64_t> first_20;
    for (int64_t g = 0; g < 20; ++g) first_20.push_back(sampler.window_start(g));
    return first_20;
  };
  EXPECT_EQ(starts(1), starts(1));
  EXPECT_NE(starts(1), starts(2));
}

TEST(Sampler, OneGlobalBatchIsEnoughAndLessIsAnError) {
  const TempFolder folder;
  const SamplerOptions options{.seed = 0, .seq_len = 10, .global_batch_size = 4};
  const Sampler smallest(counting(folder, 41), options);
  EXPECT_EQ(smallest.per_epoch(), 4);
  for (int64_t g = 0; g < 40; ++g) EXPECT_LE(smallest.window_start(g) + 10, 40);
  const ErrorInfo batch = error_of([&] { Sampler(counting(folder, 40), options); });
  EXPECT_EQ(batch.kind, ErrorKind::data);
  EXPECT_EQ(batch.found, "40 tokens");
  EXPECT_EQ(batch.expected, "at least 41 tokens");
  EXPECT_NE(batch.message.find("one global batch"), std::string::npos);
  EXPECT_EQ(batch.file, folder.path("counting.bin"));
  const ErrorInfo window = error_of([&] { Sampler(counting(folder, 10), options); });
  EXPECT_EQ(window.expected, "at least 11 tokens");
  EXPECT_NE(window.message.find("one window"), std::string::npos);
  EXPECT_FALSE(window.cure.empty());
}

TEST(ValidationWindows, EachTargetButTheFirstTokenCountsOnce) {
  const TempFolder folder;
  for (const int32_t n : {2, 8, 9, 10, 15, 16, 17, 100}) {
    const int64_t seq_len = 8;
    const ValidationWindows windows(counting(folder, n), seq_len);
    EXPECT_EQ(windows.num_targets(), n - 1);
    for (const int64_t grain : {1, 3, 4}) {
      const int64_t rounded = (windows.num_samples() + grain - 1) / grain * grain;
      Rows rows(rounded, seq_len);
      for (int64_t w = 0; w < rounded; w += grain) windows.fill(w, grain, rows.at(w * seq_len));
      std::vector<int32_t> targets;
      for (size_t i = 0; i < rows.mask.size(); ++i) {
        if (rows.mask[i] == 1.0F) {
          EXPECT_EQ(rows.tokens[i] + 1, rows.targets[i]);
          targets.push_back(rows.targets[i]);
        } else {
          EXPECT_EQ(rows.mask[i], 0.0F);
          EXPECT_EQ(rows.tokens[i], 0);
          EXPECT_EQ(rows.targets[i], 0);
        }
      }
      std::vector<int32_t> expected(static_cast<size_t>(n - 1));
      std::iota(expected.begin(), expected.end(), 1);
      EXPECT_EQ(targets, expected) << "n " << n << ", grains of " << grain;
    }
  }
}

TEST(ValidationWindows, FewerThanTwoTokensIsAnError) {
  const TempFolder folder;
  const std::string file = folder.write("a.txt", noise(10));
  const ErrorInfo split =
      error_of([&] { ValidationWindows(open_dataset({.path = {file}, .validation_fraction = 0.1}).validation, 8); });
  EXPECT_EQ(split.kind, ErrorKind::data);
  EXPECT_EQ(split.key, "data.validation_fraction");
  EXPECT_EQ(split.found, "1 token");
  const ErrorInfo own = error_of([&] {
    ValidationWindows(open_dataset({.path = {file}, .validation_path = folder.write("b.txt", "b")}).validation, 8);
  });
  EXPECT_EQ(own.key, "data.validation_path");
  EXPECT_EQ(own.file, folder.path("b.txt"));
}

}  // namespace
}  // namespace ringmaster::data
