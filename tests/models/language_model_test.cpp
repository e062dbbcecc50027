// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "models/models.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::models {
namespace {

config::Config gpt2_124m() {
  config::Config c;
  c.model = {.layers = 12, .heads = 12, .width = 768, .vocab_size = 50257};
  c.training.seq_len = 1024;
  c.training.global_batch_size = 4;
  c.training.grain_size = 2;
  return c;
}

TEST(LanguageModel, ParameterCountIsTheFormulaAndGpt2s) {
  const auto recipe = language_model(gpt2_124m());
  const int64_t L = 12, C = 768, V = 50257, T = 1024;
  EXPECT_EQ(recipe->num_parameters(), 12 * L * C * C + 13 * L * C + (V + T) * C + 2 * C);
  EXPECT_EQ(recipe->num_parameters(), 124439808);  // Radford et al. 2019, the 124M model
}

TEST(LanguageModel, UntiedHeadIsATableOfItsOwn) {
  config::Config c = gpt2_124m();
  const int64_t tied = language_model(c)->num_parameters();
  c.model.tied_embeddings = false;
  const auto recipe = language_model(c);
  EXPECT_EQ(recipe->num_parameters(), tied + 50257 * 768);
  EXPECT_EQ(recipe->networks().front().parameters().back().name, "lm_head.weight");
}

TEST(LanguageModel, ParametersHaveHuggingFaceNames) {
  const auto recipe = language_model(gpt2_124m());
  std::set<std::string> names;
  for (const nn::Parameter& p : recipe->networks().front().parameters()) names.insert(p.name);
  for (const char* name :
       {"transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.ln_1.weight", "transformer.h.0.ln_1.bias",
        "transformer.h.11.attn.c_attn.weight", "transformer.h.11.attn.c_attn.bias",
        "transformer.h.3.attn.c_proj.weight", "transformer.h.3.ln_2.bias", "transformer.h.3.mlp.c_fc.weight",
        "transformer.h.3.mlp.c_proj.bias", "transformer.ln_f.weight"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_EQ(names.size(), 2U + 12 * 12 + 2);
}

TEST(LanguageModel, EveryProgramPassesThePipeline) {
  config::Config c;
  c.model = {.layers = 2, .heads = 2, .width = 16, .dropout = 0.1};
  c.training.seq_len = 8;
  c.training.grain_size = 2;
  const auto recipe = language_model(c);
  for (const int ranks : {1, 3}) {
    for (ir::Graph graph :
         {trace_phase(*recipe, recipe->phases[0], c), trace_evaluator(*recipe, recipe->evaluators[0], c),
          trace_sampler(*recipe, c), trace_decoder(*recipe, c)}) {
      EXPECT_NO_THROW(passes::run(graph, {.ranks = ranks}));
      EXPECT_EQ(ir::print(ir::parse(ir::print(graph), ops::find)).size() > 100, true);
    }
  }
}

TEST(LanguageModel, DropoutActsInTrainingAlone) {
  config::Config c;
  c.model = {.layers = 1, .heads = 2, .width = 16, .dropout = 0.1};
  c.training.seq_len = 8;
  c.training.grain_size = 2;
  const auto recipe = language_model(c);
  EXPECT_NE(ir::print(trace_phase(*recipe, recipe->phases[0], c)).find("dropout("), std::string::npos);
  EXPECT_EQ(ir::print(trace_evaluator(*recipe, recipe->evaluators[0], c)).find("dropout("), std::string::npos);
}

struct HeadOfProgram {
  int64_t products = 0;       // of rows x vocabulary x width
  int64_t largest_value = 0;  // elements, of what the nodes of the head give
};
HeadOfProgram head_of(ir::Graph graph, const config::Config& c) {
  passes::run(graph, {});
  HeadOfProgram head;
  int64_t flops = 0;
  for (const ir::Region& region : graph.regions())
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      if (node.scope != "lm_head") continue;
      const std::vector<ir::Type> in = graph.input_types(node), out = graph.output_types(node);
      flops += ir::gemm_flops(*node.op, {node.attrs, in, out});
      for (const ir::Type& type : out) head.largest_value = std::max(head.largest_value, type.shape.elements());
    }
  const int64_t one = 2 * c.training.grain_size * c.training.seq_len * c.model.vocab_size * c.model.width;
  EXPECT_EQ(flops % one, 0);
  head.products = flops / one;
  return head;
}

// By rows the loss comes out of the backward; by vocabulary the logits are computed twice.
TEST(LanguageModel, LossHeadTakesThreeOrFourProductsAndNoLogits) {
  config::Config c;
  c.model = {.layers = 1, .heads = 2, .width = 16};
  c.training.seq_len = 64;
  c.training.grain_size = 2;
  const int64_t table = c.model.vocab_size * c.model.width, logits = 2 * 64 * c.model.vocab_size;
  ASSERT_LT(table, logits);
  for (const bool tied : {true, false})
    for (const auto& [loss_head, products] : {std::pair{"rows", 3}, std::pair{"vocabulary", 4}}) {
      c.model.tied_embeddings = tied;
      c.model.loss_head = loss_head;
      const auto recipe = language_model(c);
      const HeadOfProgram train = head_of(trace_phase(*recipe, recipe->phases[0], c), c);
      EXPECT_EQ(train.products, products) << loss_head;
      EXPECT_LE(train.largest_value, table) << loss_head;
      const HeadOfProgram evaluator = head_of(trace_evaluator(*recipe, recipe->evaluators[0], c), c);
      EXPECT_EQ(evaluator.products, 1) << loss_head;
      EXPECT_LE(evaluator.largest_value, table) << loss_head;
    }
}

}  // namespace
}  // namespace ringmaster::models
