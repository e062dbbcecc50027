// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hash.h"

#include "core/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringmaster::checkpoint {
namespace {

using namespace std::string_literals;

const float ones[4] = {1, 1, 1, 1};
const std::string one = "\0\0\x80\x3F"s;  // 1.0F, little-endian

}  // namespace

TEST(ParamsHash, IsTheContractsByteString) {
  const std::vector<TensorEntry> model{{.name = "b", .shape = {2, 1}, .data = ones},
                                       {.name = "a", .shape = {}, .data = ones}};
  EXPECT_EQ(params_hash(model), sha256_hex("a\0F32\0\0"s + one + "b\0F32\0"s + "2,1\0"s + one + one));
  EXPECT_EQ(params_hash({}), sha256_hex(""));
}

TEST(StateHash, PrefixesTheKindAndEndsWithTheState) {
  const std::vector<TensorEntry> a{{.name = "a", .shape = {1}, .data = ones}};
  const std::string tail = "a\0F32\0"s + "1\0"s + one;
  EXPECT_EQ(state_hash({.model = a, .optimizer = a, .ema = a, .state_json = "{}\n"}),
            sha256_hex("ema/" + tail + "model/" + tail + "optimizer/" + tail + "{}\n"));
}

}  // namespace ringmaster::checkpoint
