// SPDX-License-Identifier: Apache-2.0
#include "train/calibrate.h"

#include "tests/train/tiny_run.h"
#include "train/costs.h"
#include "train/plan_report.h"

namespace ringmaster::train {
namespace {

TEST(Calibrate, KnowsEveryInstructionOfAllModes) {
  for (const char* yaml : {"model: {layers: 2, heads: 2, width: 32, dropout: 0.1}\n"
                           "training: {steps: 6, seq_len: 32, global_batch_size: 8, grain_size: 4, max_norm: 1}\n"
                           "precision: {compute: bf16}\n",
                           "model: {recipe: wgan_gp, layers: 2, width: 32, critic_steps: 2}\n"
                           "data: {source: generated, set: eight_gaussians}\n"
                           "training: {steps: 6, global_batch_size: 64, grain_size: 64}\n"}) {
    const TinyRun run(yaml);
    const Calibration found = calibrate(run.resolved(), {.threads = 1, .seconds = 0.2});
    EXPECT_EQ(found.layers, 2);
    EXPECT_GE(found.steps, 2);
    EXPECT_GT(found.product_seconds, 0);
    for (const char* mode : {"none", "block", "selective", "budget"}) {
      const auto set = fmt::format("activation_checkpoint.mode={}", mode);
      const config::Resolved resolved = std::string_view(mode) == "budget"
                                            ? run.resolved({set, "activation_checkpoint.budget=70%"})
                                            : run.resolved({set});
      if (std::string_view(mode) == "budget" && resolved.config.model.recipe == "wgan_gp")
        continue;  // goes over its grains twice
      const PlanReport report = plan(resolved, {.threads = 1, .costs = found.table});
      EXPECT_TRUE(report.calibrated) << mode;
      EXPECT_GT(report.predicted_step_seconds, 0);
      EXPECT_FALSE(plan(resolved, {.threads = 1}).calibrated);
    }
  }
}

TEST(Calibrate, TakesFewerLayersWhereTheTimeIsShort) {
  const TinyRun run(
      "model: {layers: 6, heads: 2, width: 32}\n"
      "training: {steps: 6, seq_len: 32, global_batch_size: 4, grain_size: 4}\n");
  const Calibration found = calibrate(run.resolved(), {.threads = 1, .seconds = 0});
  EXPECT_EQ(found.layers, 2);
  EXPECT_TRUE(
      plan(run.resolved(), {.threads = 1, .costs = found.table}).calibrated);  // the norm of all gradients by its bytes
}

}  // namespace
}  // namespace ringmaster::train
