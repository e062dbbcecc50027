// SPDX-License-Identifier: Apache-2.0
#include "models/gpt2_config.h"

#include "config/load.h"
#include "core/error.h"

#include <gtest/gtest.h>

namespace ringmaster::models {
namespace {

using nlohmann::json;

ErrorInfo error_of(const json& gpt2) {
  try {
    from_gpt2_config(gpt2, "some/config.json");
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << gpt2.dump() << " is taken";
  return {};
}

TEST(Gpt2Config, IsReadBackAsItWasWritten) {
  config::Config c;
  c.model = {.layers = 3, .heads = 5, .width = 200, .vocab_size = 1001, .tied_embeddings = false};
  c.training.seq_len = 123;
  const config::Config back =
      config::load_json(from_gpt2_config(to_gpt2_config(c), "config.json"), "config.json").config;
  EXPECT_EQ(back.model, c.model);
  EXPECT_EQ(back.training.seq_len, 123);
}

TEST(Gpt2Config, WhatIsLeftOutIsThe124MModel) {
  const json keys =
      from_gpt2_config({{"model_type", "gpt2"}, {"n_inner", nullptr}, {"resid_pdrop", 0.1}}, "config.json");
  const json expected{{"model.recipe", "language_model"},
                      {"model.layers", 12},
                      {"model.heads", 12},
                      {"model.width", 768},
                      {"model.vocab_size", 50257},
                      {"model.tied_embeddings", true},
                      {"training.seq_len", 1024}};
  EXPECT_EQ(keys, expected);
}

TEST(Gpt2Config, OtherSpellingsOfTheSame) {
  EXPECT_NO_THROW(from_gpt2_config({{"model_type", "gpt2"},
                                    {"n_inner", 3072},
                                    {"activation_function", "gelu_pytorch_tanh"},
                                    {"layer_norm_epsilon", 0.00001}},
                                   "config.json"));
}

TEST(Gpt2Config, EveryVariantThatComputesSomethingElseIsRefusedByItsKey) {
  const std::pair<const char*, json> variants[] = {{"model_type", "gpt_neo"},
                                                   {"activation_function", "relu"},
                                                   {"activation_function", nullptr},
                                                   {"n_inner", 1024},
                                                   {"layer_norm_epsilon", 1e-6},
                                                   {"layer_norm_epsilon", "1e-5"},
                                                   {"scale_attn_weights", false},
                                                   {"scale_attn_by_inverse_layer_idx", true},
                                                   {"add_cross_attention", true},
                                                   {"n_head", 7},
                                                   {"n_head", 0},
                                                   {"n_layer", -1},
                                                   {"n_embd", 768.5},
                                                   {"n_positions", "1024"},
                                                   {"vocab_size", json::array()},
                                                   {"vocab_size", 1e300},
                                                   {"tie_word_embeddings", 1}};
  for (const auto& [key, value] : variants) {
    json gpt2{{"model_type", "gpt2"}};
    gpt2[key] = value;
    const ErrorInfo e = error_of(gpt2);
    EXPECT_EQ(e.key, key) << value;
    EXPECT_EQ(e.file, "some/config.json");
    EXPECT_EQ(e.kind, ErrorKind::checkpoint);
    EXPECT_FALSE(e.found.empty() || e.expected.empty() || e.cure.empty()) << e.message;
  }
  EXPECT_EQ(error_of(json::object()).key, "model_type");
  EXPECT_FALSE(error_of(json::array()).message.empty());
}

}  // namespace
}  // namespace ringmaster::models
