// SPDX-License-Identifier: Apache-2.0
#include "train/compare.h"

#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ringmaster::train {
namespace {

TEST(Compare, RunsOnOtherRanksAreEqual) {
  const TinyRun one, three;
  ASSERT_EQ(one.train(1, {"checkpoint.interval=2"}), 0);
  ASSERT_EQ(three.train(3, {"checkpoint.interval=4"}), 0);  // saves less often
  const Comparison found = compare(one.folder(), three.folder());
  EXPECT_TRUE(found.equal());
  EXPECT_EQ(found.steps_compared, 4);
  EXPECT_EQ(found.checkpoint_step, 4);
}

TEST(Compare, NamesTheFirstStepFieldAndTensor) {
  const TinyRun a, b;
  ASSERT_EQ(a.train(1, {"lr_scheduler.warmup_steps=0", "checkpoint.interval=2"}), 0);
  ASSERT_EQ(b.train(1, {"lr_scheduler.warmup_steps=0", "checkpoint.interval=2", "optimizer.lr=0.011"}), 0);
  const Comparison found = compare(a.folder(), b.folder());
  EXPECT_FALSE(found.equal());
  ASSERT_TRUE(found.field);
  EXPECT_EQ(found.field->step, 1);
  EXPECT_EQ(found.field->field, "lr");
  EXPECT_EQ(found.field->b, 0.011);
  ASSERT_TRUE(found.tensor);
  EXPECT_EQ(found.tensor->step, 2);
  EXPECT_GT(found.tensor->count, 0);
  EXPECT_GT(found.tensor->max_abs, 0);
  EXPECT_LT(found.tensor->max_abs, 0.1);
  EXPECT_FALSE(found.params_equal);
  EXPECT_FALSE(found.state_equal);
}

TEST(Compare, ALongerRunIsComparedAsFarAsTheOtherGoes) {
  const TinyRun longer, shorter;
  ASSERT_EQ(longer.train(1, {"lr_scheduler.decay_type=constant", "training.steps=6", "checkpoint.interval=4",
                             "validation.interval=4"}),
            0);
  ASSERT_EQ(shorter.train(2, {"lr_scheduler.decay_type=constant", "training.steps=4"}), 0);
  const Comparison found = compare(longer.folder(), shorter.folder());
  EXPECT_EQ(found.steps_compared, 4);
  EXPECT_EQ(found.checkpoint_step, 4);
  EXPECT_TRUE(found.params_equal);
  EXPECT_FALSE(found.field) << found.field->field;
}

TEST(Compare, AChangedLineIsFound) {
  const TinyRun a, b;
  ASSERT_EQ(a.train(1), 0);
  ASSERT_EQ(b.train(1), 0);
  std::string lines = read_file(b.folder() / "metrics.jsonl");
  const size_t at = lines.find("\"tokens\":", lines.find("\"step\":3"));
  lines.replace(at, 9, "\"tokens\":1");
  TinyRun::write(b.folder() / "metrics.jsonl", lines);
  const Comparison found = compare(a.folder(), b.folder());
  ASSERT_TRUE(found.field);
  EXPECT_EQ(found.field->step, 3);
  EXPECT_EQ(found.field->field, "tokens");
  EXPECT_FALSE(found.equal());
  EXPECT_TRUE(found.params_equal && found.state_equal);
}

TEST(Compare, WhatIsNoRunIsRefused) {
  const TinyRun run, empty;
  ASSERT_EQ(run.train(1), 0);
  EXPECT_EQ(error_of([&] { compare(run.folder(), run / "nowhere"); }).kind, ErrorKind::checkpoint);
  make_folders(empty.folder());
  TinyRun::write(empty.folder() / "ringmaster.run", "");
  EXPECT_EQ(error_of([&] { compare(run.folder(), empty.folder()); }).kind, ErrorKind::usage);
}

}  // namespace
}  // namespace ringmaster::train
