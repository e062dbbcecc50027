// SPDX-License-Identifier: Apache-2.0
#include "train/json_line.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <limits>

namespace ringmaster::train {
namespace {

TEST(JsonLine, ReadersGetBackWhatWasWritten) {
  JsonLine line;
  for (int round = 0; round < 2; ++round) {
    line.begin();
    line.add_name("kind", "step");
    line.add("step", int64_t{-7});
    line.begin_object("losses");
    line.add("a", 0.1);
    line.add("b", 1e-300);
    line.end_object();
    line.add("whole", 3.0);
    line.add("large", 1e22);
    line.add("none", std::numeric_limits<double>::quiet_NaN());
    line.add_bool("redone", false);
    const std::string text(line.finish());
    EXPECT_EQ(text.find('\n'), text.size() - 1);
    const auto json = nlohmann::ordered_json::parse(text);
    EXPECT_EQ(json["kind"], "step");
    EXPECT_EQ(json["step"], -7);
    EXPECT_EQ(json["losses"]["a"].get<double>(), 0.1);
    EXPECT_EQ(json["losses"]["b"].get<double>(), 1e-300);
    EXPECT_TRUE(json["whole"].is_number_float());
    EXPECT_EQ(json["large"].get<double>(), 1e22);
    EXPECT_TRUE(json["none"].is_null());
    EXPECT_EQ(json["redone"], false);
  }
}

}  // namespace
}  // namespace ringmaster::train
