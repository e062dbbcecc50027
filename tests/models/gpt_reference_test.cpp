// SPDX-License-Identifier: Apache-2.0
// language_model against the same network in plain loops over f64. Comparisons of ranks, of kernels and of gradients hold for any
// network; this one knows which network it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "core/philox.h"
#include "ir/eval.h"
#include "models/models.h"

namespace ringmaster::models {
namespace {

using Row = std::vector<double>;
using States = std::map<std::string, ir::RefTensor>;

constexpr size_t T = 5, V = 11, C = 6, H = 2, D = C / H;

config::Config small(bool tied) {
  config::Config c;
  c.model = {.layers = 2, .heads = H, .width = C, .vocab_size = V, .tied_embeddings = tied};
  c.training.seq_len = T;
  c.training.global_batch_size = 4;
  c.training.grain_size = 2;
  return c;
}

// Gains, biases and tables far from where they are initialised, so that leaving one out shows.
States draw_states(const Recipe& recipe) {
  States states;
  for (const nn::Network& network : recipe.networks()) {
    for (const nn::Parameter& p : network.parameters()) {
      const RandomStream stream({.seed = 8, .stream = stable_hash(p.name)});
      ir::RefTensor& t = states[p.name] = {{DType::f32, p.shape}, {}};
      for (int64_t i = 0; i < p.shape.elements(); ++i)
        t.data.push_back(2.0 * static_cast<double>(uniform(stream.words(0, static_cast<uint64_t>(i))[0])) - 0.7);
    }
  }
  return states;
}

double dot(const double* a, const double* b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

class PlainGpt {
 public:
  PlainGpt(const States& states, int64_t layers) : states_(states), layers_(layers) {}

  // one row of logits a token
  std::vector<Row> logits(const std::vector<int32_t>& tokens) const {
    std::vector<Row> x;
    for (size_t t = 0; t < tokens.size(); ++t)
      x.push_back(sum(row("wte", static_cast<size_t>(tokens[t])), row("wpe", t)));
    for (int64_t layer = 0; layer < layers_; ++layer) {
      const std::string block = "h." + std::to_string(layer) + ".";
      const std::vector<Row> attended = attention(x, block);
      for (size_t t = 0; t < x.size(); ++t) {
        x[t] = sum(x[t], attended[t]);
        Row inner = linear(norm(x[t], block + "ln_2"), block + "mlp.c_fc");
        for (double& u : inner)
          u = 0.5 * u * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (u + 0.044715 * u * u * u)));
        x[t] = sum(x[t], linear(inner, block + "mlp.c_proj"));
      }
    }
    const auto own = states_.find("lm_head.weight");
    const Row& head = own == states_.end() ? data("wte.weight") : own->second.data;
    std::vector<Row> logits(x.size(), Row(V));
    for (size_t t = 0; t < x.size(); ++t) {
      const Row features = norm(x[t], "ln_f");
      for (size_t v = 0; v < V; ++v) logits[t][v] = dot(&head[v * C], features.data(), C);
    }
    return logits;
  }

 private:
  const Row& data(const std::string& name) const { return states_.at("transformer." + name).data; }
  Row row(const std::string& table, size_t i) const {
    const double* begin = &data(table + ".weight")[i * C];
    return {begin, begin + C};
  }
  static Row sum(const Row& a, const Row& b) {
    Row y = a;
    for (size_t i = 0; i < y.size(); ++i) y[i] += b[i];
    return y;
  }
  Row linear(const Row& x, const std::string& name) const {
    const Row& w = data(name + ".weight");
    Row y = data(name + ".bias");
    for (size_t i = 0; i < x.size(); ++i)
      for (size_t j = 0; j < y.size(); ++j) y[j] += x[i] * w[i * y.size() + j];
    return y;
  }
  Row norm(const Row& x, const std::string& name) const {
    double mean = 0, variance = 0;
    for (const double v : x) mean += v / C;
    for (const double v : x) variance += (v - mean) * (v - mean) / C;
    Row y = data(name + ".bias");
    for (size_t i = 0; i < C; ++i) y[i] += (x[i] - mean) / std::sqrt(variance + 1e-5) * data(name + ".weight")[i];
    return y;
  }
  std::vector<Row> attention(const std::vector<Row>& x, const std::string& block) const {
    std::vector<Row> qkv, out;
    for (const Row& token : x) qkv.push_back(linear(norm(token, block + "ln_1"), block + "attn.c_attn"));
    for (size_t t = 0; t < x.size(); ++t) {
      Row joined(C);
      for (size_t head = 0; head < H; ++head) {
        double total = 0;
        Row value(D);
        for (size_t s = 0; s <= t; ++s) {
          const double odds = std::exp(dot(&qkv[t][head * D], &qkv[s][C + head * D], D) / std::sqrt(double{D}));
          total += odds;
          for (size_t d = 0; d < D; ++d) value[d] += odds * qkv[s][2 * C + head * D + d];
        }
        for (size_t d = 0; d < D; ++d) joined[head * D + d] = value[d] / total;
      }
      out.push_back(linear(joined, block + "attn.c_proj"));
    }
    return out;
  }

  const States& states_;
  int64_t layers_;
};

std::vector<int32_t> some_tokens(uint32_t first) {
  std::vector<int32_t> tokens;
  for (uint32_t t = 0; t < T; ++t) tokens.push_back(static_cast<int32_t>((first + 7 * t * t + 3 * t) % V));
  return tokens;
}

TEST(GptReference, LossIsTheSumOfTheMaskedTokens) {
  for (const bool tied : {true, false}) {
    const config::Config c = small(tied);
    const auto recipe = language_model(c);
    const States states = draw_states(*recipe);
    const PlainGpt plain(states, c.model.layers);
    ir::EvalInputs in{.states = states, .num_grains = 2, .grain_size = 2};
    std::vector<double> expected(2);
    for (uint32_t g = 0; g < 2; ++g) {
      ir::RefTensor tokens{{DType::i32, {2, T}}, {}}, targets = tokens, mask{{DType::f32, {2, T}}, {}};
      for (uint32_t b = 0; b < 2; ++b) {
        const std::vector<int32_t> text = some_tokens(5 * g + b), next = some_tokens(g + 3 * b + 1);
        const std::vector<Row> logits = plain.logits(text);
        for (size_t t = 0; t < T; ++t) {
          const bool counts = (t + b + g) % 3 != 0;
          double total = 0;
          for (const double x : logits[t]) total += std::exp(x);
          const auto target = static_cast<size_t>(next[t]);
          if (counts) expected[g] += std::log(total) - logits[t][target];
          tokens.data.push_back(text[t]);
          targets.data.push_back(next[t]);
          mask.data.push_back(counts ? 1.0 : 0.0);
        }
      }
      in.inputs["tokens"].push_back(tokens);
      in.inputs["targets"].push_back(targets);
      in.inputs["mask"].push_back(mask);
    }
    const ir::Graph graph = trace_evaluator(*recipe, recipe->evaluators.front(), c);
    const std::vector<double> sums = ir::evaluate(graph, in).at("sums").data;
    ASSERT_EQ(sums.size(), 2U);
    for (size_t g = 0; g < 2; ++g) EXPECT_NEAR(sums[g], expected[g], 1e-9 * expected[g]) << "grain " << g;
  }
}

TEST(GptReference, TheSamplersLogitsAreThoseOfTheSelectedToken) {
  const config::Config c = small(true);
  const auto recipe = language_model(c);
  const States states = draw_states(*recipe);
  const std::vector<int32_t> text = some_tokens(2);
  const std::vector<Row> expected = PlainGpt(states, c.model.layers).logits(text);
  const ir::Graph graph = trace_sampler(*recipe, c);
  for (size_t t = 0; t < T; ++t) {
    ir::EvalInputs in{.states = states};
    in.inputs["tokens"] = {{{DType::i32, {1, T}}, {text.begin(), text.end()}}};
    in.inputs["select"] = {{{DType::f32, {1, 1, T}}, Row(T)}};
    in.inputs["select"][0].data[t] = 1.0;
    const std::vector<double> logits = ir::evaluate(graph, in).at("logits").data;
    ASSERT_EQ(logits.size(), V);
    for (size_t v = 0; v < V; ++v) EXPECT_NEAR(logits[v], expected[t][v], 1e-9) << "token " << t;
  }
}

}  // namespace
}  // namespace ringmaster::models
