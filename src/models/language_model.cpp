// SPDX-License-Identifier: Apache-2.0
// language_model: next-token prediction with a decoder-only transformer.   Radford et al. 2019 (GPT-2); Vaswani et al. 2017, arXiv:1706.03762
//   B sequences in a grain, T tokens, C width, H heads, V vocabulary, L layers
//   parameters = 12 L C^2 + 13 L C + (V + T) C + 2 C   (+ V C if the head has a table of its own)
// Names and orientation of the parameters are those of Hugging Face's GPT-2, so that a checkpoint opens there as written.
#include <cmath>

#include "models/gpt2_config.h"
#include "models/models.h"
#include "nn/layers.h"
#include "ops/ops.h"

namespace ringmaster::models {
namespace {

using namespace ops;  // a recipe reads like its paper

// GPT-2 scales what is added to the residual stream by the number of additions to it.
nn::Init residual(const config::Model& c) {
  return nn::Init::normal(0.02 / std::sqrt(2.0 * static_cast<double>(c.layers)));
}

struct Mlp {
  std::string path;
  nn::Linear up, down;

  Mlp(const nn::Scope& scope, const config::Model& c)
      : path(scope.path()),
        up(scope / "c_fc", c.width, 4 * c.width),
        down(scope / "c_proj", 4 * c.width, c.width, {.weight = residual(c)}) {}

  Tensor operator()(Tensor x_BTC) const {
    const ir::ScopeGuard scope(x_BTC.builder(), path);
    return down(gelu(up(x_BTC)));
  }
};

struct Block {
  std::string path;
  nn::LayerNorm norm1, norm2;
  nn::SelfAttention attention;
  Mlp mlp;
  nn::Dropout dropout1, dropout2;

  Block(const nn::Scope& scope, const config::Model& c)
      : path(scope.path()),
        norm1(scope / "ln_1", c.width),
        norm2(scope / "ln_2", c.width),
        attention(
            scope / "attn",
            {.width = c.width, .heads = c.heads, .causal = true, .dropout = c.dropout, .projection = residual(c)}),
        mlp(scope / "mlp", c),
        dropout1(scope / "attn" / "resid_dropout", c.dropout),
        dropout2(scope / "mlp" / "dropout", c.dropout) {}

  Tensor operator()(Tensor x_BTC, const nn::Cache* cache = nullptr) const {
    const ir::ScopeGuard scope(x_BTC.builder(), path);
    x_BTC = x_BTC + dropout1(attention(norm1(x_BTC), cache));
    return x_BTC + dropout2(mlp(norm2(x_BTC)));
  }
};

struct Gpt {
  nn::Embedding tokens, positions;
  nn::Dropout dropout;
  std::vector<Block> blocks;
  nn::LayerNorm norm;
  std::unique_ptr<nn::Embedding> own_head;  // [V, C]; else the token table serves twice

  Gpt(const nn::Scope& scope, const config::Config& config)
      : tokens(scope / "wte", config.model.vocab_size, config.model.width, nn::Init::normal(0.02)),
        positions(scope / "wpe", config.training.seq_len, config.model.width, nn::Init::normal(0.02)),
        dropout(scope / "drop", config.model.dropout),
        blocks(make_blocks(scope, config.model)),
        norm(scope / "ln_f", config.model.width) {
    if (!config.model.tied_embeddings) {
      own_head = std::make_unique<nn::Embedding>(scope.root() / "lm_head", config.model.vocab_size, config.model.width,
                                                 nn::Init::normal(0.02));
    }
  }
  static std::vector<Block> make_blocks(const nn::Scope& scope, const config::Model& c) {
    std::vector<Block> blocks;
    for (int64_t layer = 0; layer < c.layers; ++layer) blocks.emplace_back(scope / "h" / layer, c);
    return blocks;
  }

  // With a cache: of one token, [B,1], which stands at the cache's position behind those of the runs before.
  Tensor features(Tensor tokens_BT, const nn::Cache* cache = nullptr) const {
    ir::Builder& b = tokens_BT.builder();
    const ir::ScopeGuard scope(b, "transformer");
    Tensor x_BTC = dropout(tokens(tokens_BT) + (cache == nullptr ? positions.table(b) : positions(cache->position())));
    for (const Block& block : blocks) x_BTC = block(x_BTC, cache);
    return norm(x_BTC);
  }
  Tensor table(ir::Builder& b) const { return (own_head ? *own_head : tokens).table(b); }
  Tensor logits(Tensor x_BTC) const {
    const ir::ScopeGuard scope(x_BTC.builder(), "lm_head");
    return matmul(x_BTC, table(x_BTC.builder()), {.transpose_b = true});
  }
  Tensor loss(Tensor x_BTC, Tensor targets_BT, const std::string& loss_head) const {
    const ir::ScopeGuard scope(x_BTC.builder(), "lm_head");
    return linear_cross_entropy(x_BTC, table(x_BTC.builder()), targets_BT, loss_head);
  }
};

}  // namespace

std::unique_ptr<Recipe> language_model(const config::Config& config) {
  auto recipe = std::make_unique<Recipe>("language_model");
  const int64_t T = config.training.seq_len;
  const Gpt& gpt = recipe->network<Gpt>("gpt", "transformer", config);
  recipe->inputs = {{"tokens", DType::i32, {T}}, {"targets", DType::i32, {T}}, {"mask", DType::f32, {T}}};

  const Loss loss = [&gpt, loss_head = config.model.loss_head](const Batch& batch) -> std::vector<Term> {
    const Tensor loss_BT = gpt.loss(gpt.features(batch["tokens"]), batch["targets"], loss_head);
    return {{.sum = sum(loss_BT * batch["mask"]), .weight = batch.count("mask")}};
  };
  recipe->phases = {{.name = "train", .updates = {"gpt"}, .loss = loss, .averaged = true}};
  recipe->evaluators = {{.name = "validation", .loss = loss, .unit = "nats"}};

  // The logits of one position: `select` is 1 there and 0 elsewhere, so the head runs on a single row.
  recipe->sampler = {
      .inputs = {{"tokens", DType::i32, {T}}, {"select", DType::f32, {1, T}}},
      .logits =
          [&gpt](const Batch& batch) { return gpt.logits(matmul(batch["select"], gpt.features(batch["tokens"]))); },
      .decoder = {.inputs = {{"token", DType::i32, {1}}}, .logits = [&gpt, T](const Batch& batch) {
                    const nn::Cache cache(scalar(batch.builder(), "position", DType::i32), T);
                    return gpt.logits(gpt.features(batch["token"], &cache));
                  }}};
  recipe->hugging_face_config = to_gpt2_config(config);
  return recipe;
}

}  // namespace ringmaster::models
