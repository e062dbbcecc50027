// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringmaster {

TEST(Error, RendersPlaceExcerptCaretExpectationAndCure) {
  const ErrorInfo info{.kind = ErrorKind::config,
                       .message = "unknown key `optimizer.learning_rate`",
                       .file = "configs/my.yaml",
                       .line = 14,
                       .column = 3,
                       .expected = "one of: name, lr",
                       .cure = "did you mean `lr`?",
                       .excerpt = "  learning_rate"};
  EXPECT_EQ(render(info),
            "configs/my.yaml:14:3: error: unknown key `optimizer.learning_rate`\n"
            "    learning_rate\n"
            "    ^~~~~~~~~~~~~\n"
            "  expected one of: name, lr\n"
            "  did you mean `lr`?\n");
}

TEST(Error, RendersWithoutAPlace) { EXPECT_EQ(render({.message = "no ranks"}), "error: no ranks\n"); }

TEST(Error, ColumnBehindTheExcerptHasNoCaret) {
  EXPECT_EQ(render({.message = "m", .file = "f", .line = 1, .column = 99, .excerpt = "  short"}),
            "f:1:99: error: m\n    short\n");
}

TEST(Error, ExitCodesFollowTheContract) {
  EXPECT_EQ(exit_code(ErrorKind::usage), 2);
  EXPECT_EQ(exit_code(ErrorKind::config), 2);
  EXPECT_EQ(exit_code(ErrorKind::data), 2);
  EXPECT_EQ(exit_code(ErrorKind::checkpoint), 2);
  EXPECT_EQ(exit_code(ErrorKind::memory), 3);
  EXPECT_EQ(exit_code(ErrorKind::diverged), 4);
  EXPECT_EQ(exit_code(ErrorKind::timeout), 5);
  EXPECT_EQ(exit_code(ErrorKind::rank), 1);
  EXPECT_EQ(exit_code(ErrorKind::io), 1);
  EXPECT_EQ(exit_code(ErrorKind::internal), 1);
}

TEST(Check, NamesConditionAndSourceLine) {
  try {
    CHECK(1 + 1 == 3, "sum is {}", 2);
    FAIL() << "CHECK let a false condition pass";
  } catch (const Error& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::internal);
    EXPECT_NE(e.info().message.find("sum is 2 (1 + 1 == 3)"), std::string::npos) << e.info().message;
    EXPECT_GT(e.info().line, 0);
  }
}

TEST(Nearest, FindsSlipsAndRefusesStrangers) {
  const std::vector<std::string> keys{"beta1", "eps", "lr", "momentum", "weight_decay"};
  EXPECT_EQ(nearest("weigth_decay", keys), "weight_decay");
  EXPECT_EQ(nearest("Momentun", keys), "momentum");
  EXPECT_EQ(nearest("rl", keys), "lr");
  EXPECT_EQ(nearest("checkpoint_interval", keys), "");
}

TEST(Nearest, AWordThatBreaksOffMeansTheOneNameThatGoesOn) {
  const std::vector<std::string> flags{"--temperature", "--tokens", "--tokenizer-dir", "--top-k"};
  EXPECT_EQ(nearest("--temp", flags), "--temperature");
  EXPECT_EQ(nearest("--token", flags), "--tokens") << "two names go on: the nearer one";
  EXPECT_EQ(nearest("--t", flags), "") << "four names go on, none is near";
  EXPECT_EQ(nearest("", std::vector<std::string>{"interval"}), "") << "nothing is the beginning of everything";
}

TEST(EditDistance, CountsASwapOnce) {
  EXPECT_EQ(edit_distance("abc", "abc"), 0);
  EXPECT_EQ(edit_distance("abc", "acb"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(Describe, ExhaustedMemoryIsNoBug) {
  EXPECT_EQ(describe(std::bad_alloc()).kind, ErrorKind::memory);
  EXPECT_EQ(describe(std::runtime_error("x")).kind, ErrorKind::internal);
  EXPECT_EQ(describe(Error({.kind = ErrorKind::data, .message = "m"})).kind, ErrorKind::data);
}

}  // namespace ringmaster
