// SPDX-License-Identifier: Apache-2.0
#include "cost/table.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmaster::cost {
namespace {

Work work(const std::string& key, int64_t flops, int64_t bytes, bool narrow = false) {
  return {.key = key, .flops = flops, .narrow = narrow, .bytes = bytes};
}

TEST(CostTable, EstimatesWhatIsLongerProductsOrBytes) {
  const Table table;
  EXPECT_EQ(table.seconds(work("gelu f32[8]", 0, 90)), 2 * table.seconds(work("gelu f32[4]", 0, 45)));
  const Work product = work("matmul f32[8,8]", int64_t{1} << 40, 8),
             narrow = work("matmul bf16[8,8]", int64_t{1} << 40, 8, true);
  EXPECT_GT(table.seconds(product), table.seconds(narrow));
  EXPECT_FALSE(table.has(product));
}

TEST(CostTable, TakesWhatWasMeasuredAndOtherShapesOfAnOpAsFast) {
  Table table;
  table.set(work("gelu f32[8]", 0, 64), 3.0);
  table.set(work("gelu f32[16]", 0, 128), 5.0);
  EXPECT_EQ(table.seconds(work("gelu f32[8]", 0, 64)), 3.0);
  EXPECT_EQ(table.seconds(work("gelu f32[24]", 0, 192)), 8.0);  // 8 s for 192 bytes
  EXPECT_TRUE(table.has(work("gelu f32[24]", 0, 192)));
  EXPECT_FALSE(table.has(work("gelu f32[100000]", 0, 800000)));  // far larger than what was measured: a roofline
  EXPECT_EQ(table.seconds(work("gelu f32[100000]", 0, 800000)), Table().seconds(work("gelu f32[100000]", 0, 800000)));
  EXPECT_FALSE(table.has(work("gelu_grad f32[24]", 0, 192)));
  table.set(work("matmul bf16[2]", 100, 8, true), 1.0);
  EXPECT_EQ(table.seconds(work("matmul bf16[4]", 300, 8, true)), 3.0);
  EXPECT_FALSE(table.has(work("matmul f32[4]", 300, 8)));  // products of another width are another matter
}

TEST(CostTable, NewerTimesReplaceOlderOnes) {
  Table old, newer;
  old.set(work("a", 0, 1), 1.0);
  old.set(work("b", 0, 1), 1.0);
  newer.set(work("a", 0, 1), 2.0);
  old.merge(newer);
  EXPECT_EQ(old.seconds(work("a", 0, 1)), 2.0);
  EXPECT_EQ(old.seconds(work("b", 0, 1)), 1.0);
  EXPECT_EQ(old.size(), 2U);
}

TEST(CostTable, IsReadBackToTheBitAndOnlyWhole) {
  Table table;
  table.set(work("gelu f32[8]", 0, 64), 1.0 / 3);
  table.set(work("matmul transpose=true bf16[8,8] bf16[8,8]", 1024, 256, true), 1e-7);
  const std::string text = table.to_text();
  const Table read = Table::from_text(text);
  EXPECT_EQ(read.to_text(), text);
  EXPECT_EQ(read.seconds(work("gelu f32[8]", 0, 64)), 1.0 / 3);
  EXPECT_EQ(read.seconds(work("matmul f", 2048, 0, true)), 2e-7);
  for (size_t bytes = 0; bytes < text.size(); ++bytes)
    EXPECT_EQ(Table::from_text(text.substr(0, bytes)).size(), 0U) << bytes;
  EXPECT_EQ(Table::from_text(text + "x\n").size(), 0U);
  std::string wrong = text;
  wrong[text.find('\n') + 1] = 'x';
  EXPECT_EQ(Table::from_text(wrong).size(), 0U);
  EXPECT_EQ(Table::from_text(Table().to_text()).size(), 0U);
  for (const char* seconds : {"inf", "nan", "1e308", "-1", "0", "-0"})
    EXPECT_EQ(Table::from_text(std::string("ringmaster.costs/1 1\n") + seconds + " 0 32 8 gelu f32[2]\n").size(), 0U);
  EXPECT_EQ(Table::from_text("ringmaster.costs/1 1\n1 0 32 8 gelu f32[2]\n").size(), 1U);
}

}  // namespace
}  // namespace ringmaster::cost
