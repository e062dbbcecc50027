// SPDX-License-Identifier: Apache-2.0
// Good configurations: what they load to, where each value comes from, computed defaults and contradictions.
#include "config/load.h"

#include <clocale>
#include <cmath>
#include <limits>
#include <locale>
#include <nlohmann/json.hpp>

#include "config/schema.h"
#include "config/show.h"
#include "config/value.h"
#include "tests/config/files.h"

namespace ringmaster::config {
namespace {

const std::string small = "model:\n  layers: 2\n";

TEST_F(ConfigFile, DefaultsAreThoseOfTheStructs) {
  Config expected;
  expected.model.layers = 2;
  expected.training.grain_size = 2;  // 8 samples in 4 grains
  expected.output.dir = "runs/c";
  const Resolved r = load_text(small);
  EXPECT_EQ(r.config, expected);
  EXPECT_EQ(str(r.origin_of("model.layers")), r.file + ":2:3");
  EXPECT_EQ(str(r.origin_of("model.heads")), "default");
  EXPECT_EQ(r.origin.size(), keys().size());
}

TEST_F(ConfigFile, LaterWins) {
  const std::string text = "training:\n  steps: 5\n  seed: 6\n";
  const Resolved r = load_text(text, {"training.seed=7", "training.max_norm=0"}, {{"--ranks", "launch.ranks", "3"}});
  EXPECT_EQ(r.config.training.steps, 5);
  EXPECT_EQ(r.config.training.seed, 7U);
  EXPECT_EQ(r.config.training.max_norm, 0.0);
  EXPECT_EQ(r.config.launch.ranks, 3);
  EXPECT_EQ(str(r.origin_of("training.seed")), "--set");
  EXPECT_EQ(str(r.origin_of("launch.ranks")), "--ranks");
}

TEST_F(ConfigFile, NumbersReachTheirLimits) {
  const Resolved r = load_text(
      "training:\n  seed: 18446744073709551615\n  max_norm: 5e-324\noptimizer:\n  lr: .5\n  weight_decay: 1.\n"
      "metrics:\n  log_freq: 9223372036854775807\nmodel:\n  dropout: -0.0\n");
  EXPECT_EQ(r.config.training.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(r.config.training.max_norm, std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(r.config.optimizer.lr, 0.5);
  EXPECT_EQ(r.config.optimizer.weight_decay, 1.0);
  EXPECT_EQ(r.config.metrics.log_freq, std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(std::signbit(r.config.model.dropout));
}

TEST_F(ConfigFile, ABudgetIsBytesOrAShare) {
  EXPECT_EQ(parse_budget("3GiB")->bytes, int64_t{3} << 30);
  EXPECT_EQ(parse_budget("60%")->share, 0.6);
  EXPECT_EQ(parse_budget("62.5%")->share, 0.625);
  for (const char* bad : {"", "0", "0%", "-1%", "101%", "60 %", "%", "three", "nan%"})
    EXPECT_FALSE(parse_budget(bad).has_value()) << bad;
  const std::string mode = "activation_checkpoint:\n  mode: budget\n";
  EXPECT_EQ(load_text(mode + "  budget: 60%\n").config.activation_checkpoint.budget, "60%");
  EXPECT_EQ(load_text(mode + "  budget: 3000000\n").config.activation_checkpoint.budget, "3000000");
  EXPECT_EQ(error_in(mode + "  budget: 3 GiB\n").key, "activation_checkpoint.budget");
  EXPECT_EQ(error_in(mode).key, "activation_checkpoint.mode");
  EXPECT_EQ(error_in("activation_checkpoint:\n  budget: 60%\n").key, "activation_checkpoint.budget");
}

TEST_F(ConfigFile, ByteSizesKnowBothFamiliesOfUnits) {
  EXPECT_EQ(load_text("comm:\n  segment_bytes: 256KiB\n").config.comm.segment_bytes, 262144);
  EXPECT_EQ(load_text("comm:\n  segment_bytes: 1MB\n").config.comm.segment_bytes, 1'000'000);
  EXPECT_EQ(parse_bytes("3GiB"), int64_t{3} << 30);
  EXPECT_EQ(parse_bytes("0"), 0);
  EXPECT_EQ(parse_bytes("2.25GiB"), int64_t{9} << 28);
  EXPECT_EQ(parse_bytes("0.3KiB"), 307);
  for (const char* bad : {"", "KiB", "-1KiB", "1 KiB", "1kib", "01KiB", "1B", "9007199254740992KiB"}) {
    EXPECT_FALSE(parse_bytes(bad).has_value()) << bad;
  }
}

TEST_F(ConfigFile, PathsMayHoldAnything) {
  using Paths = std::vector<std::string>;
  EXPECT_EQ(load_text("data:\n  path: a b.txt\n").config.data.path, Paths{"a b.txt"});
  EXPECT_EQ(load_text("data:\n  path: [\"a\\nb\", 'it''s', \"*.txt\"]\n").config.data.path,
            (Paths{"a\nb", "it's", "*.txt"}));
  EXPECT_EQ(load_text("data:\n  path:\n    - größe/日本.txt\n    - b#c\n").config.data.path,
            (Paths{"größe/日本.txt", "b#c"}));
  EXPECT_EQ(load_text(small, {"data.path=\"a\\tb: c #d\""}).config.data.path, Paths{"a\tb: c #d"});
  EXPECT_EQ(load_text(small, {"data.path=a=b.txt"}).config.data.path, Paths{"a=b.txt"});
  EXPECT_EQ(load_text(small, {}, {{"--data", "data.path", "a\nb: [c #d"}}).config.data.path, Paths{"a\nb: [c #d"});
  EXPECT_EQ(load_text(small, {}, {{"--run-dir", "output.dir", "no"}}).config.output.dir, "no");
}

TEST(ConfigPath, MayHoldSpacesNewlinesAndUtf8) {
  const TempFolder folder;
  const Resolved r = load(folder.write("my größe\nconfig.v2.yaml", small));
  EXPECT_EQ(r.config.output.dir, "runs/my größe\nconfig.v2");
}

TEST_F(ConfigFile, WindowsLineEndsAndAnnouncedDocumentsAreFine) {
  EXPECT_EQ(load_text("---\r\nmodel:\r\n  layers: 7  # seven\r\n...\r\n").config.model.layers, 7);
}

TEST_F(ConfigFile, GroupsKeepTheirOrderAndTheirGaps) {
  const Resolved r = load_text(
      "optimizer:\n  groups:\n    - match: \"bias$\"\n      weight_decay: 0\n    - {match: head, lr_factor: 0.5}\n");
  const std::vector<OptimizerGroup> expected = {{.match = "bias$", .weight_decay = 0.0},
                                                {.match = "head", .lr_factor = 0.5}};
  EXPECT_EQ(r.config.optimizer.groups, expected);
  EXPECT_FALSE(r.config.optimizer.groups[1].weight_decay.has_value());
}

TEST(GrainSize, IsTheLargestDivisorThatLeavesFourGrains) {
  for (int64_t batch = 1; batch <= 600; ++batch) {
    int64_t expected = 1;
    for (int64_t d = 1; d <= batch / 4; ++d) {
      if (batch % d == 0) expected = d;
    }
    EXPECT_EQ(default_grain_size(batch), expected) << batch;
  }
  EXPECT_EQ(default_grain_size(1 << 24), 1 << 22);
}

struct Contradiction {
  const char* name;
  std::string text;
  int line;
  const char* key;
  const char* message;
};
void PrintTo(const Contradiction& c, std::ostream* out) { *out << c.name; }
class Contradicting : public ConfigFile, public ::testing::WithParamInterface<Contradiction> {};

TEST_P(Contradicting, IsRefusedAtTheKeyThatWasGiven) {
  const Contradiction& c = GetParam();
  const ErrorInfo error = error_in(c.text);
  EXPECT_EQ(error.kind, ErrorKind::config);
  EXPECT_EQ(error.line, c.line) << error.message;
  EXPECT_EQ(error.column, 3) << error.message;
  EXPECT_EQ(error.key, c.key);
  EXPECT_TRUE(holds(error.message, c.message));
  EXPECT_FALSE(error.expected.empty());
  EXPECT_FALSE(error.cure.empty());
  EXPECT_FALSE(error.excerpt.empty());
}

const auto case_name = [](const auto& info) { return std::string(info.param.name); };

INSTANTIATE_TEST_SUITE_P(
    Pairs, Contradicting,
    ::testing::Values(
        Contradiction{"HeadsAndWidth", "model:\n  width: 100\n  heads: 3\n", 3, "model.heads", "does not divide"},
        Contradiction{"WidthAndDefaultHeads", "model:\n  width: 126\n", 2, "model.width", "does not divide"},
        Contradiction{"GrainAndBatch", "training:\n  grain_size: 3\n", 2, "training.grain_size", "does not divide"},
        Contradiction{"GrainAboveBatch", "training:\n  global_batch_size: 4\n  grain_size: 8\n", 3,
                      "training.grain_size", "does not divide"},
        Contradiction{"BytesAndVocabulary", "model:\n  vocab_size: 65\n", 2, "model.vocab_size", "too small for bytes"},
        Contradiction{"TwoValidationSets", "data:\n  validation_path: v.txt\n  validation_fraction: 0.2\n", 3,
                      "data.validation_fraction", "would be ignored"},
        Contradiction{"NesterovWithAdamw", "optimizer:\n  nesterov: true\n", 2, "optimizer.nesterov",
                      "would be ignored"},
        Contradiction{"MomentumWithAdam", "optimizer:\n  name: adam\n  momentum: 0.5\n", 3, "optimizer.momentum",
                      "would be ignored"},
        Contradiction{"Beta1WithSgd", "optimizer:\n  beta1: 0.8\n  name: sgd\n", 2, "optimizer.beta1",
                      "would be ignored"},
        Contradiction{"Beta2WithSgd", "optimizer:\n  beta2: 0.8\n  name: sgd\n", 2, "optimizer.beta2",
                      "would be ignored"},
        Contradiction{"EpsWithSgd", "optimizer:\n  eps: 1e-6\n  name: sgd\n", 2, "optimizer.eps", "would be ignored"}),
    case_name);

TEST_F(ConfigFile, WarmupMayExceedTheRunAndTokensMayBeFew) {
  EXPECT_EQ(load_text("lr_scheduler:\n  warmup_steps: 5000\n").config.lr_scheduler.warmup_steps, 5000);
  EXPECT_EQ(load_text("model:\n  vocab_size: 65\ndata:\n  format: uint16\n").config.model.vocab_size, 65);
}

TEST_F(ConfigFile, DataIsRequiredOnlyWhereItIsAskedFor) {
  const Resolved without = load_text(small);
  const ErrorInfo error = error_of([&] { require_data(without); });
  EXPECT_EQ(error.kind, ErrorKind::config);
  EXPECT_EQ(error.key, "data.path");
  EXPECT_EQ(error.file, without.file);
  EXPECT_TRUE(holds(error.cure, "--set data.path="));
  EXPECT_NO_THROW(require_data(load_text("data:\n  path: a.txt\n")));
  const ErrorInfo empty = error_of([&] { require_data(load_text("data:\n  path: []\n")); });
  EXPECT_EQ(empty.line, 2);
}

TEST_F(ConfigFile, OtherFoldersCanPointAtAKey) {
  const Resolved r = load_text("model:\n  recipe: gpt5\n", {"training.steps=7"});
  const ErrorInfo in_file = error_at(r, "model.recipe", "unknown recipe");
  EXPECT_EQ(in_file.line, 2);
  EXPECT_EQ(in_file.column, 3);
  EXPECT_EQ(in_file.found, "gpt5");
  EXPECT_EQ(in_file.excerpt, "  recipe: gpt5");
  const ErrorInfo in_set = error_at(r, "training.steps", "too few");
  EXPECT_EQ(in_set.file, "");
  EXPECT_EQ(in_set.excerpt, "--set training.steps=7");
  EXPECT_EQ(error_at(r, "model.width", "x").file, r.file);
}

// A decimal comma and grouped thousands, as in German. The C library's locale is tried too where it is installed.
TEST_F(ConfigFile, AnyLocaleReadsAndWritesTheSame) {
  struct German : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::string text = "optimizer:\n  lr: 0.25\ntraining:\n  steps: 1234567\n";
  const Resolved before = load_text(text);
  const std::string yaml = to_yaml(before), shown = show_text(before), json = show_json(before).dump();
  const std::string schema = schema_text();
  const std::locale old = std::locale::global(std::locale(std::locale::classic(), new German));
  std::setlocale(LC_ALL, "de_DE.UTF-8");
  const Resolved after = load_text(text);
  EXPECT_EQ(after.config.optimizer.lr, 0.25);
  EXPECT_EQ(after.config, before.config);
  EXPECT_EQ(to_yaml(after), yaml);
  EXPECT_EQ(show_text(after), shown);
  EXPECT_EQ(show_json(after).dump(), json);
  EXPECT_EQ(schema_text(), schema);
  EXPECT_TRUE(holds(error_in("optimizer:\n  lr: 0,25\n").message, "`0,25`"));
  std::setlocale(LC_ALL, "C");
  std::locale::global(old);
}

}  // namespace
}  // namespace ringmaster::config
