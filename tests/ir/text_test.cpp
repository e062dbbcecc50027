// SPDX-License-Identifier: Apache-2.0
// The text of a program: print() and parse() are inverse, and a wrong text is an error at its line and column.
#include <gtest/gtest.h>

#include <limits>

#include "tests/ir/toy_ops.h"

namespace ringmaster::ir {
namespace {

const char* const program = R"(program train.gpt
state weight f32[2,3] "gpt.head.weight"
state optimizer f32[2,3] "adam \"first\""
for grain
  %0 f32[2,3] = state_read() name="gpt.head.weight" shape=[2,3]
  %1 f32[2,3] = plus(%0, %0)  @gpt.head
  %2 f32[2,3] = grain_sum(%1)
step
  state_write(%2) name="gpt.head.weight"
  %3 f32[] = where()
  output(%3) name="at"
)";

Graph read(const std::string& text) { return parse(text, toy::find, "a.ir"); }

TEST(Text, PrintsWhatItParsed) { EXPECT_EQ(print(read(program)), program); }

TEST(Text, ParsesStatesRegionsAndScopes) {
  const Graph graph = read(program);
  verify(graph, "parse");
  EXPECT_EQ(graph.name(), "train.gpt");
  ASSERT_EQ(graph.states().size(), 2U);
  EXPECT_EQ(graph.states()[1].name, "adam \"first\"");
  EXPECT_EQ(graph.states()[1].role, StateRole::optimizer);
  ASSERT_EQ(graph.regions().size(), 2U);
  EXPECT_EQ(graph.regions()[0].kind, RegionKind::for_grain);
  EXPECT_EQ(graph.node(1).scope, "gpt.head");
}

TEST(Text, SkipsCommentsAndBlankLines) {
  EXPECT_EQ(print(read("# what\n\nprogram p # of\nstep\n\n  # nothing\n  %x f32[] = where() # here\n")),
            "program p\nstep\n  %0 f32[] = where()\n");
}

TEST(Text, KeepsSeveralOutputs) {
  const std::string text =
      "program p\nstep\n  %0 f32[4] = input() name=\"x\" shape=[4]\n  %1 f32[2], %2 f32[2] = halves(%0)\n";
  EXPECT_EQ(print(read(text)), text);
}

// Defaults are left out; everything else comes back with its type and its last bit.
TEST(Text, KeepsAttributesOfEveryType) {
  const Attrs sets[] = {
      {},
      {{"flag", true},
       {"count", int64_t{-7}},
       {"ratio", 1e-5},
       {"label", std::string("a \"b\" \\ c\n# d")},
       {"dims", Ints{}}},
      {{"count", std::numeric_limits<int64_t>::min()},
       {"ratio", 3.0},
       {"dims", Ints{-1, 0, std::numeric_limits<int64_t>::max()}}},
      {{"ratio", 0.1}},
      {{"ratio", -0.0}},
      {{"ratio", 1e300}},
      {{"ratio", std::numeric_limits<double>::denorm_min()}},
      {{"ratio", std::numeric_limits<double>::infinity()}},
      {{"ratio", -std::numeric_limits<double>::infinity()}},
  };
  for (const Attrs& attrs : sets) {
    Graph graph("p");
    graph.add_region(RegionKind::step);
    graph.add_node(0, toy::where, {}, {}, "");
    graph.add_node(0, toy::every, {0}, attrs, "");
    const std::string text = print(graph);
    const Graph again = read(text);
    EXPECT_EQ(again.node(1).attrs, graph.node(1).attrs) << text;
    EXPECT_EQ(print(again), text);
  }
}

struct Bad {
  const char* text;
  int line, column;
  const char* message;  // a part of it
};

TEST(Text, PointsAtWhatIsWrong) {
  const Bad cases[] = {
      {"", 1, 1, "something else"},
      {"programme p\n", 1, 1, "something else"},
      {"program p\n  %0 f32[] = where()\n", 2, 3, "a node outside of a region"},
      {"program p\nstep\n  %0 f32[] = nowhere()\n", 3, 14, "unknown op `nowhere`"},
      {"program p\nstep\n  %0 f33[] = where()\n", 3, 6, "unknown dtype `f33`"},
      {"program p\nstep\n  %0 f32[2] = where()\n", 3, 4, "%0 is f32[2]"},
      {"program p\nstep\n  %0 f32[], %1 f32[] = where()\n", 3, 24, "2 outputs named"},
      {"program p\nstep\n  where()\n", 3, 3, "0 outputs named"},
      {"program p\nstep\n  %0 f32[] = where()\n  %0 f32[] = where()\n", 4, 4, "%0 is defined twice"},
      {"program p\nstep\n  output(%7) name=\"x\"\n", 3, 11, "%7 is used before it is defined"},
      {"program p\nstep\n  %0 f32[] = where() oops\n", 3, 26, "found"},
      {"program p\nstep\n  %0 f32[] = where(\n", 3, 20, "found"},
      {"program p\nstep\n  %0 f32[2x] = where()\n", 3, 10, "`2x`"},
      {"program p\nstep\n  %0 f32[-1] = where()\n", 3, 10, "dim -1"},
      {"program p\nstep\n  %0 f32[1,1,1,1,1,1,1] = where()\n", 3, 22, "one dim more"},
      {"program p\nstate wait f32[] \"w\"\n", 2, 7, "state role `wait`"},
      {"program p\nstate weight f32[] \"w\n", 3, 1, "end of text in a string"},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.text);
    try {
      read(bad.text);
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.info().kind, ErrorKind::config);
      EXPECT_EQ(e.info().file, "a.ir");
      EXPECT_EQ(e.info().line, bad.line) << e.what();
      EXPECT_EQ(e.info().column, bad.column) << e.what();
      EXPECT_NE(e.info().message.find(bad.message), std::string::npos) << e.info().message;
    }
  }
}

// What an op refuses is placed too.
TEST(Text, PlacesTheErrorsOfOps) {
  const Bad cases[] = {
      {"program p\nstep\n  %0 f32[] = where()\n  %1 f32[2] = input() name=\"x\" shape=[2]\n  %2 f32[] = plus(%0, %1)\n",
       5, 14, "a is f32[], b is f32[2]"},
      {"program p\nstep\n  %0 f32[] = where() size=3\n", 3, 14, "unknown attribute `size`"},
      {"program p\nstep\n  %0 f32[] = input()\n", 3, 14, "attribute `name` is missing"},
      {"program p\nstep\n  %0 f32[] = where()\n  %1 f32[] = every(%0) ratio=3\n", 4, 14, "wrong type"},
      {"program p\nstep\n  %0 f32[] = plus()\n", 3, 14, "0 inputs given"},
  };
  for (const Bad& bad : cases) {
    SCOPED_TRACE(bad.text);
    try {
      read(bad.text);
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.info().kind, ErrorKind::config);
      EXPECT_EQ(e.info().file, "a.ir");
      EXPECT_EQ(e.info().line, bad.line) << e.what();
      EXPECT_EQ(e.info().column, bad.column) << e.what();
      EXPECT_NE(e.info().message.find(bad.message), std::string::npos) << e.info().message;
    }
  }
}

// Cut anywhere and with any character replaced, a text parses or is refused; it never crashes.
TEST(Text, SurvivesMutation) {
  const std::string whole = program;
  const auto attempt = [](const std::string& text) {
    try {
      read(text);
    } catch (const Error& e) { EXPECT_EQ(e.info().kind, ErrorKind::config) << e.what() << "\n" << text; }
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    attempt(whole.substr(0, i));
    for (const char c : {' ', '9', '%', '[', '"', '\n', '\0', '\xff', '-'}) {
      std::string text = whole;
      text[i] = c;
      attempt(text);
    }
  }
}

}  // namespace
}  // namespace ringmaster::ir
