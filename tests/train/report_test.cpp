// SPDX-License-Identifier: Apache-2.0
// What is told about a run or made of it afterwards: plans, evaluation, samples, timings, the picture.
#include "tests/train/tiny_run.h"
#include "train/bench_step.h"
#include "train/chart.h"
#include "train/evaluate.h"
#include "train/plan_report.h"
#include "train/sample.h"
#include "train/terminal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ringmaster::train {
namespace {

TEST(Plan, IsWhatARunMeasures) {
  for (const int ranks : {1, 2, 3}) {
    const TinyRun run;
    const PlanReport report = plan(run.resolved(), {.ranks = ranks});
    ASSERT_EQ(run.train(ranks), 0);
    const Json summary = run.summary();
    int64_t wire = 0;
    for (const RankPlan& p : report.per_rank) {
      const auto rank = static_cast<size_t>(p.rank);
      EXPECT_EQ(p.peak_bytes, summary["peak_bytes_measured"][rank]);
      EXPECT_EQ(p.grains, summary["grains_per_rank"][rank]);
      EXPECT_EQ((4 + summary["redone_steps"].get<int64_t>()) * p.gemm_flops, summary["gemm_flops"][rank]);
      int64_t sum = 0;
      for (const auto& [category, bytes] : p.by_category) {
        EXPECT_GE(bytes, 0) << ir::name(category);
        sum += bytes;
      }
      EXPECT_EQ(sum, p.peak_bytes);
      wire += p.wire_bytes_sent;
    }
    EXPECT_EQ(2 * wire, run.metrics("step").front()["wire_bytes_sent"]);  // done twice
    EXPECT_EQ(wire, run.metrics("step").back()["wire_bytes_sent"]);
    EXPECT_EQ(report.plan_hash, summary["plan_hash"]);
    EXPECT_EQ(report.parameters, summary["parameters"]);
    EXPECT_FALSE(report.peak.tensors.empty());
    EXPECT_TRUE(report.fits);
  }
}

TEST(Plan, NeedsNoDataAndSaysWhatDoesNotFit) {
  const TinyRun run;
  config::Resolved resolved = run.resolved();
  resolved.config.data.path.clear();
  const PlanReport report = plan(resolved, {.ranks = 2, .memory_bytes = 4096});
  EXPECT_FALSE(report.fits);
  EXPECT_EQ(report.memory_source, "flag");
  EXPECT_NE(to_text(report).find("DOES NOT FIT"), std::string::npos);
}

TEST(Plan, SaysWhichRanksAreIdleAsTheRunDoes) {
  const TinyRun run;  // three grains a step
  const auto text = [&](int ranks) { return to_text(plan(run.resolved(), {.ranks = ranks})); };
  EXPECT_EQ(text(3).find("idle"), std::string::npos);
  const std::string expected =
      "2 of 5 ranks are idle: a step has 3 grains; use 3 ranks, or a smaller training.grain_size";
  EXPECT_NE(text(5).find(expected), std::string::npos) << text(5);
  TrainOptions options = run.options();
  options.quiet = false;
  testing::internal::CaptureStderr();
  EXPECT_EQ(TinyRun::start(5, options), 0);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(expected), std::string::npos);
}

TEST(Evaluate, RepeatsTheValidationOfTheRun) {
  const TinyRun run;
  ASSERT_EQ(run.train(2), 0);
  const Json summary = run.summary();
  for (const int ranks : {1, 2, 3}) {
    comm::run_ranks(ranks, [&](comm::Communicator& comm) {
      const Evaluation e = evaluate({.from = run.folder()}, comm);
      EXPECT_EQ(e.step, 4);
      EXPECT_EQ(e.params_hash, summary["params_hash"]);
      EXPECT_EQ(e.validation_loss, summary["validation_loss"].get<double>());  // no sum here depends on the ranks
    });
  }
}

TEST(Evaluate, AWholeFileIsTheSplit) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  TinyRun::write(run / "other.txt", some_text(101));
  const auto comm = comm::make_single();
  const Evaluation e =
      evaluate({.from = run.folder() / "checkpoint" / "step-00000004", .data = (run / "other.txt").string()}, *comm);
  EXPECT_EQ(e.validation_tokens, 100);
  EXPECT_EQ(error_of([&] { evaluate({.from = run.folder(), .data = (run / "none.txt").string()}, *comm); }).key,
            "--data");
  EXPECT_EQ(error_of([&] { evaluate({.from = run / "nowhere"}, *comm); }).kind, ErrorKind::checkpoint);
}

TEST(Sample, RanksDoNotChangeTheText) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  std::vector<std::vector<std::string>> texts(4);
  for (const int ranks : {1, 2, 3}) {
    comm::run_ranks(ranks, [&](comm::Communicator& comm) {
      const auto made = sample({.from = run.folder(), .prompt = "the ", .count = 4, .tokens = 20, .seed = 3}, comm);
      if (comm.rank() == 0)
        texts[static_cast<size_t>(ranks)] = made;
      else
        EXPECT_TRUE(made.empty());
    });
  }
  ASSERT_EQ(texts[1].size(), 4U);
  EXPECT_EQ(texts[1], texts[2]);
  EXPECT_EQ(texts[1], texts[3]);
  EXPECT_NE(texts[1][0], texts[1][1]);
  for (const std::string& text : texts[1]) {
    EXPECT_TRUE(text.starts_with("the "));
    EXPECT_EQ(text.size(), 24U);
  }
  const auto comm = comm::make_single();
  EXPECT_EQ(error_of([&] { sample({.from = run.folder(), .count = 0}, *comm); }).key, "--count");
}

TEST(Sample, OneSequenceIsHeardAsItIsDrawn) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const auto comm = comm::make_single();
  std::string heard;
  const auto texts =
      sample({.from = run.folder(), .tokens = 12, .on_text = [&](std::string_view text) { heard += text; }}, *comm);
  EXPECT_EQ(texts, std::vector<std::string>{heard});
}

TEST(BenchStep, TimesStepsWithoutData) {
  const TinyRun run;
  config::Resolved resolved = run.resolved();
  resolved.config.data.path.clear();
  comm::run_ranks(2, [&](comm::Communicator& comm) {
    BenchStep bench(resolved, comm, {.warmup = 1});
    EXPECT_EQ(bench.run(3).size(), 3U);
    const auto rows = bench.instructions();
    ASSERT_FALSE(rows.empty());
    EXPECT_NEAR(std::accumulate(rows.begin(), rows.end(), 0.0,
                                [](double sum, const InstructionRow& r) { return sum + r.share; }),
                1.0, 1e-9);
    const int64_t flops = std::accumulate(rows.begin(), rows.end(), int64_t{0},
                                          [](int64_t sum, const InstructionRow& r) { return sum + r.flops; });
    EXPECT_EQ(flops, plan(resolved, {.ranks = 2}).per_rank[static_cast<size_t>(comm.rank())].gemm_flops);
  });
}

Curve falling(int64_t steps) {
  Curve curve{.baseline = 2.0, .baseline_name = "order-2 n-gram"};
  for (int64_t i = 1; i <= steps; ++i)
    curve.train.push_back({i, 1.5 + 4.0 * std::exp(-5.0 * static_cast<double>(i) / static_cast<double>(steps))});
  curve.validation = {{steps / 2, 1.9}, {steps, 1.6}};
  return curve;
}

size_t widest_line(const std::string& text) {
  size_t widest = 0, cells = 0;
  for (const char c : text) {
    if (c == '\n')
      cells = 0;
    else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U)
      widest = std::max(widest, ++cells);
  }
  return widest;
}

TEST(Chart, FitsItsColumns) {
  for (const int64_t steps : {2, 30, 5000})
    for (const int columns : {40, 80, 100})
      for (const bool unicode : {true, false})
        EXPECT_LE(widest_line(draw(falling(steps), {.columns = columns, .unicode = unicode})),
                  static_cast<size_t>(columns));
}

TEST(Chart, IsAsciiWhereTheLocaleIs) {
  const std::string text = draw(falling(50), {.unicode = false});
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; }));
  EXPECT_NE(text.find('*'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), 'o'), 5);  // two points; the legend's mark and "validation", "order"
}

TEST(Chart, NeedsTwoPoints) {
  EXPECT_EQ(draw({}, {}), "");
  EXPECT_EQ(draw({.train = {{1, 2.0}}}, {}), "");
}

TEST(Terminal, NumbersAsPeopleSayThem) {
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(18400), "18.4k");
  EXPECT_EQ(count_text(3200000), "3.2M");
  EXPECT_EQ(count_text(3200000, " "), "3.2 M");
  EXPECT_EQ(bytes_text(100), "100 B");
  EXPECT_EQ(bytes_text(int64_t{61} << 20), "61 MiB");
  EXPECT_EQ(bytes_text((int64_t{1} << 30) + (int64_t{1} << 29)), "1.50 GiB");
  EXPECT_EQ(duration_text(31), "0:31");
  EXPECT_EQ(duration_text(3723), "1:02:03");
}

}  // namespace
}  // namespace ringmaster::train
