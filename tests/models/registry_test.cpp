// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "models/models.h"
#include "ops/ops.h"
#include "ops/registry.h"

namespace ringmaster {
namespace {

template <typename Add> ErrorInfo refusal(const Add& add) {
  try {
    add();
  } catch (const Error& e) { return e.info(); }
  return {.message = "nothing was refused"};
}

TEST(Registry, KnowsAnAddedRecipeAndRefusesItsNameFromThenOn) {
  const models::Entry mine{"registry_test_model", "mine", models::language_model};
  ASSERT_EQ(models::find(mine.name), nullptr);
  models::add(mine);
  ASSERT_NE(models::find(mine.name), nullptr);
  EXPECT_STREQ(models::find(mine.name)->doc, "mine");
  EXPECT_STREQ(models::all().back().name, mine.name);
  const ErrorInfo info = refusal([] { models::add({"registry_test_model", "another", models::language_model}); });
  EXPECT_EQ(info.kind, ErrorKind::usage);
  for (const char* part : {"`registry_test_model`", "\"mine\"", "\"another\""})
    EXPECT_NE(info.message.find(part), std::string::npos) << info.message;
}

TEST(Registry, RefusesTheNameOfABuiltInRecipe) {
  const size_t count = models::all().size();
  const ErrorInfo info = refusal([] { models::add({"language_model", "not yours", models::language_model}); });
  EXPECT_EQ(info.found, "language_model");
  EXPECT_NE(info.message.find("not yours"), std::string::npos) << info.message;
  EXPECT_EQ(models::all().size(), count);
}

TEST(Registry, SortsAnAddedOpAmongTheOthersAndRefusesItsNameFromThenOn) {
  static const ir::OpDef mine = [] {
    ir::OpDef op = *ops::find("tanh");
    op.name = "registry_test_op";
    return op;
  }();
  ops::add(mine);
  EXPECT_EQ(ops::find("registry_test_op"), &mine);
  EXPECT_TRUE(std::ranges::is_sorted(
      ops::all(), [](const ir::OpDef* a, const ir::OpDef* b) { return std::strcmp(a->name, b->name) < 0; }));
  const size_t count = ops::all().size();
  for (const ir::OpDef* op : {ops::find("tanh"), &mine}) EXPECT_EQ(refusal([&] { ops::add(*op); }).found, op->name);
  EXPECT_EQ(ops::all().size(), count);
}

TEST(Registry, RefusesARecordThatLacksAPart) {
  EXPECT_THROW(models::add({"half", "no make", nullptr}), Error);
  ir::OpDef op = *ops::find("tanh");
  op.name = "half";
  op.cpu = nullptr;
  EXPECT_THROW(ops::add(op), Error);
  EXPECT_EQ(ops::find("half"), nullptr);
}

}  // namespace
}  // namespace ringmaster
