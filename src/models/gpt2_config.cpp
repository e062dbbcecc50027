// SPDX-License-Identifier: Apache-2.0
#include "models/gpt2_config.h"

#include "core/error.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <string_view>

namespace ringmaster::models {
namespace {

using nlohmann::json;

constexpr double layer_norm_eps = 1e-5;  // nn::LayerNorm's

class Reader {
 public:
  Reader(const json& gpt2, const std::string& file) : gpt2_(gpt2), file_(file) {
    if (!gpt2.is_object()) throw refuse("", gpt2.type_name(), "a JSON object");
  }

  int64_t size(const char* key, int64_t otherwise) const {
    const json value = gpt2_.value(key, json(otherwise));
    constexpr int64_t most = int64_t{1} << 40;  // the schema's own ranges are narrower and come next
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > most)
      throw refuse(key, value.dump(), "an integer of at least 1");
    return value.get<int64_t>();
  }
  bool flag(const char* key, bool otherwise) const {
    const json value = gpt2_.value(key, json(otherwise));
    if (!value.is_boolean()) throw refuse(key, value.dump(), "true or false");
    return value.get<bool>();
  }
  // A key that has one meaning here, whichever of `known` it is spelt as. Without it the file means the first.
  void must_be(const char* key, std::initializer_list<json> known) const {
    const json value = gpt2_.value(key, *known.begin());
    std::string expected;
    for (const json& one : known) {
      if (same(value, one)) return;
      expected += (expected.empty() ? "" : " or ") + one.dump();
    }
    throw refuse(key, value.dump(), expected);
  }
  [[nodiscard]] Error refuse(const std::string& key, const std::string& found, const std::string& expected) const {
    return Error(
        {.kind = ErrorKind::checkpoint,
         .message = key.empty() ? fmt::format("is {}, expected {}", found, expected)
                                : fmt::format("`{}` is {}, expected {}", key, found, expected),
         .file = file_,
         .key = key,
         .found = found,
         .expected = expected,
         .cure = "only GPT-2 as it was published is imported: the recipe language_model computes no other model"});
  }

 private:
  static bool same(const json& a, const json& b) {
    return a.is_number() && b.is_number()
               ? std::abs(a.get<double>() - b.get<double>()) <= 1e-9 * std::abs(b.get<double>())
               : a == b;
  }
  const json& gpt2_;
  const std::string& file_;
};

}  // namespace

json to_gpt2_config(const config::Config& c) {
  return {{"model_type", "gpt2"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"activation_function", "gelu_new"},
          {"n_layer", c.model.layers},
          {"n_head", c.model.heads},
          {"n_embd", c.model.width},
          {"n_positions", c.training.seq_len},
          {"vocab_size", c.model.vocab_size},
          {"layer_norm_epsilon", layer_norm_eps},
          {"resid_pdrop", c.model.dropout},
          {"embd_pdrop", c.model.dropout},
          {"attn_pdrop", c.model.dropout},
          {"tie_word_embeddings", c.model.tied_embeddings},
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr}};
}

json from_gpt2_config(const json& gpt2, const std::string& file) {
  const Reader read(gpt2, file);
  if (!gpt2.contains("model_type")) throw read.refuse("model_type", "absent", "\"gpt2\"");
  read.must_be("model_type", {"gpt2"});
  const int64_t width = read.size("n_embd", 768), heads = read.size("n_head", 12);
  read.must_be("n_inner", {nullptr, 4 * width});
  read.must_be("activation_function", {"gelu_new", "gelu_pytorch_tanh"});  // two names of one function
  read.must_be("layer_norm_epsilon", {layer_norm_eps});
  read.must_be("scale_attn_weights", {true});
  read.must_be("scale_attn_by_inverse_layer_idx", {false});
  read.must_be("add_cross_attention", {false});
  if (width % heads != 0)
    throw read.refuse("n_head", fmt::format("{}", heads), fmt::format("a divisor of n_embd, {}", width));
  return {{"model.recipe", "language_model"},
          {"model.layers", read.size("n_layer", 12)},
          {"model.heads", heads},
          {"model.width", width},
          {"model.vocab_size", read.size("vocab_size", 50257)},
          {"model.tied_embeddings", read.flag("tie_word_embeddings", true)},
          {"training.seq_len", read.size("n_positions", 1024)}};
}

}  // namespace ringmaster::models
