// SPDX-License-Identifier: Apache-2.0
#include "train/roofline.h"

#include "ops/ops.h"
#include "tests/train/tiny_run.h"
#include "train/bench_ops.h"
#include "train/plan_report.h"

#include <algorithm>
#include <cstring>

namespace ringmaster::train {
namespace {

InstructionRow row(const std::string& scope, double seconds, int64_t bytes, std::vector<ir::Gemm> gemms = {}) {
  InstructionRow made{.op = "op", .scope = scope, .key = "op", .runs = 1, .seconds = seconds, .bytes = bytes};
  for (const ir::Gemm& gemm : gemms) made.flops += gemm.flops();
  made.gemms = std::move(gemms);
  return made;
}

const Peaks peaks{.f32 = 1000, .bf16 = 4000, .triad = 100};

TEST(Roofline, IsTheSumOfEachProductAlone) {
  const ir::Gemm small{.m = 2, .n = 3, .k = 5}, large{.batch = 4, .m = 2, .n = 3, .k = 5};
  InstructionRow twice = row("a", 1, 1, {small, large});
  twice.runs = 2;
  twice.flops *= 2;
  const auto gemms = step_gemms({twice, row("b", 1, 1, {small}), row("c", 1, 1)});
  EXPECT_EQ(gemms, (std::map<ir::Gemm, double>{{small, 3.0}, {large, 2.0}}));
  EXPECT_EQ(roofline_seconds(gemms, [](const ir::Gemm& g) { return static_cast<double>(g.batch); }), 3.0 + 2.0 * 4.0);
}

TEST(Roofline, CountsThePartOfAProductThatIsComputed) {
  const ir::Gemm square{.m = 8, .n = 8, .k = 4};
  InstructionRow causal = row("a", 1, 1, {square, square});
  causal.flops = causal.flops * 5 / 8;
  EXPECT_EQ(step_gemms({causal}).at(square), 2.0 * 5 / 8);
}

TEST(Roofline, HoldsInstructionsAgainstThePeakOfTheirDtype) {
  const ir::Gemm f32{.m = 5, .n = 10, .k = 10}, bf16{.m = 5, .n = 10, .k = 10, .dtype = DType::bf16};  // 1,000 FLOP
  EXPECT_EQ(of_gemm_peak(row("a", 2, 50, {f32}), peaks), 0.5);
  EXPECT_EQ(of_gemm_peak(row("a", 2, 50, {bf16}), peaks), 0.125);
  EXPECT_EQ(of_gemm_peak(row("a", 2, 50), peaks), 0.0);
  EXPECT_EQ(of_triad(row("a", 2, 50), peaks), 0.25);
}

TEST(Roofline, MemoryBoundIsWhatMovesLongerThanItMultiplies) {
  const ir::Gemm gemm{.m = 5, .n = 10, .k = 10};  // 1 s at the peak
  EXPECT_EQ(memory_bound_share({row("product", 3, 99, {gemm}), row("pass", 1, 1)}, peaks), 0.25);
  EXPECT_EQ(memory_bound_share({row("thin product", 3, 101, {gemm}), row("pass", 1, 1)}, peaks), 1.0);
  EXPECT_EQ(memory_bound_share({}, peaks), 0.0);
}

TEST(Roofline, LayersFoldIntoOneRow) {
  InstructionRow other = row("h.7.mlp", 4, 1);
  other.key = "op of other types";
  const auto rows =
      fold({row("h.0.mlp", 1, 10), row("h.11.mlp", 2, 10), row("h.3.attn", 2, 10), other, row("wte2", 1, 0)});
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].scope, "h.7.mlp") << "one alone keeps its number; slowest first";
  EXPECT_EQ(rows[1].scope, "h.*.mlp");
  EXPECT_EQ(rows[1].runs, 2);
  EXPECT_EQ(rows[1].seconds, 3);
  EXPECT_EQ(rows[1].bytes, 20);
  EXPECT_EQ(rows[1].share, 0.3);
  EXPECT_EQ(rows[2].scope, "h.3.attn");
  EXPECT_EQ(rows[3].scope, "wte2");
}

TEST(Roofline, TheProductsOfAStepAreItsFlops) {
  const TinyRun run;
  const config::Resolved resolved = run.resolved();
  const auto comm = comm::make_single();
  BenchStep bench(resolved, *comm, {.warmup = 1});
  bench.run(2);
  double flops = 0;
  for (const auto& [gemm, runs] : step_gemms(bench.instructions())) flops += runs * static_cast<double>(gemm.flops());
  EXPECT_EQ(flops, static_cast<double>(plan(resolved, {}).flops_per_step));
}

TEST(Roofline, EveryOpThatCountsFlopsNamesItsProducts) {
  for (const ir::OpDef* op : ops::all()) {
    EXPECT_TRUE(op->gemm_flops == nullptr || op->gemms != nullptr) << op->name;
    if (op->gemms == nullptr) continue;
    for (const ir::Sample& sample : op->samples()) {
      const ir::Attrs attrs = ir::complete(*op, sample.attrs);
      const auto out = op->infer({attrs, sample.in, {}});
      const ir::OpView view{attrs, sample.in, out};
      int64_t all = 0;
      for (const ir::Gemm& gemm : op->gemms(view)) all += gemm.flops();
      EXPECT_LE(ir::gemm_flops(*op, view), all) << op->name;
    }
  }
}

TEST(BenchOps, TimesEachInstructionOfAStepAlone) {
  const TinyRun run;
  const auto comm = comm::make_single();
  BenchStep bench(run.resolved(), *comm, {.warmup = 1});
  bench.run(1);
  const auto in_step = fold(bench.instructions()),
             alone = time_alone(bench, [](const InstructionRow&) { return true; });
  for (const InstructionRow& r : alone) {
    const auto same =
        std::ranges::find_if(in_step, [&](const InstructionRow& s) { return s.key == r.key && s.scope == r.scope; });
    ASSERT_NE(same, in_step.end()) << r.scope;
    EXPECT_EQ(r.runs, same->runs) << r.key;
    EXPECT_EQ(r.flops, same->flops) << r.key;
    EXPECT_EQ(r.bytes, same->bytes) << r.key;
    EXPECT_GT(r.seconds, 0) << r.key;
  }
  EXPECT_EQ(alone.size(), in_step.size());
  const auto some = time_alone(bench, [](const InstructionRow& r) { return r.op == "matmul"; });
  EXPECT_FALSE(some.empty());
  EXPECT_LT(some.size(), alone.size());
  EXPECT_TRUE(std::ranges::all_of(some, [](const InstructionRow& r) { return r.op == "matmul" && !r.gemms.empty(); }));
}

TEST(BenchOps, LeavesTheStepAlone) {
  const TinyRun run;
  const auto comm = comm::make_single();
  const config::Resolved resolved = run.resolved();
  BenchStep measured(resolved, *comm, {.warmup = 1}), plain(resolved, *comm, {.warmup = 1});
  time_alone(measured, [](const InstructionRow&) { return true; });
  plain.run(1);
  for (const ir::State& state : plain.session().programs().states) {
    const auto bytes = static_cast<size_t>(state.type.bytes());
    EXPECT_EQ(std::memcmp(measured.session().state(state.name), plain.session().state(state.name), bytes), 0)
        << state.name;
  }
}

TEST(BenchOps, TimesSamplesOfShippedShapes) {
  const auto rows = time_samples(1, [](const InstructionRow& r) { return r.op == "layer_norm"; });
  ASSERT_FALSE(rows.empty());
  for (const InstructionRow& r : rows) {
    EXPECT_EQ(r.op, "layer_norm");
    EXPECT_GT(r.bytes, 0);
    EXPECT_GT(r.seconds, 0);
  }
}

}  // namespace
}  // namespace ringmaster::train
