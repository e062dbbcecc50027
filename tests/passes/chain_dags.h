// SPDX-License-Identifier: Apache-2.0
// chain_dags: random programs of several blocks, as a trainer makes them: products with weights and joins, some over a skip; backward
// needs most factors of products, and some nodes' results.
#pragma once
#include "passes/work.h"
#include "tests/passes/pass_test_util.h"

#include <random>
#include <set>

namespace ringmaster::passes {

class RandomChain {
 public:
  explicit RandomChain(uint32_t seed) : random_(seed) {}

  ir::Graph graph(int blocks, int values) {
    for (int b = 0; b < blocks; ++b) add_block(b, values);
    backward();
    std::string text = "program p\n";
    for (const auto& [in, out] : weights_) text += fmt::format("state weight f32[{0},{1}] \"w{0}x{1}\"\n", in, out);
    text += fmt::format("for grain\n  %x f32[{},{}] = input() name=\"x\" shape=[{},{}]\n", rows, first_width, rows,
                        first_width);
    for (const auto& [in, out] : weights_)
      text += fmt::format("  %w{0}x{1} f32[{0},{1}] = state_read() name=\"w{0}x{1}\" shape=[{0},{1}]\n", in, out);
    text += body_ + "step\n";
    for (int k = 0; k < sums_; ++k) text += fmt::format("  output(%Q{0}) name=\"Q{0}\"\n", k);
    return graph_of(text + "  output(%R) name=\"R\"\n");
  }

  cost::Table costs(const ir::Graph& graph) {
    cost::Table out;
    for (const ir::NodeId id : graph.regions()[0].nodes)
      out.set(work_of(graph, graph.node(id)),
              1e-6 * static_cast<double>(below(3) == 0 ? 20 + below(81) : 1 + below(9)));
    return out;
  }

 private:
  static constexpr int rows = 64, first_width = 32;
  struct Value {
    int width = 0;
    std::vector<int> from;  // -1: the input
    std::string scope;
  };

  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  static std::string name(int v) { return v < 0 ? "%x" : fmt::format("%v{}", v); }
  int width(int v) const { return v < 0 ? first_width : values_[static_cast<size_t>(v)].width; }
  std::string weight(int in, int out) {
    weights_.insert({in, out});
    return fmt::format("%w{}x{}", in, out);
  }

  int add(std::vector<int> from, int wide, const std::string& scope) {
    const int v = static_cast<int>(values_.size());
    const int in = width(from[0]);
    if (from.size() == 1) {
      values_.push_back({wide, from, scope});
      body_ += fmt::format("  {} f32[{},{}] = matmul({}, {})  @{}\n", name(v), rows, wide, name(from[0]),
                           weight(in, wide), scope);
      return v;
    }
    int sum = 0;
    std::string inputs;
    for (const int f : from) {
      sum += width(f);
      inputs += (inputs.empty() ? "" : ", ") + name(f);
    }
    values_.push_back({sum, from, scope});
    body_ += fmt::format("  {} f32[{},{}] = concat({}) dim=1  @{}\n", name(v), rows, sum, inputs, scope);
    return v;
  }

  void add_block(int block, int count) {
    const std::string scope = fmt::format("h.{}.f", block);
    const int entry = static_cast<int>(values_.size()) - 1;
    std::set<int> unread;
    std::vector<int> have{entry};
    for (int k = 0; k < count; ++k) {
      const int a = have.back(), b = have[static_cast<size_t>(below(static_cast<int>(have.size())))];
      std::vector<int> from{below(3) > 0 ? a : b};
      if (below(10) < 3 && a != b) from = {a, b};
      const int made = add(from, 16 * (1 + below(6)), scope);
      for (const int f : from) unread.erase(f);
      unread.insert(made);
      have.push_back(made);
    }
    std::vector<int> ends(unread.begin(), unread.end());
    const int joined = ends.size() > 1 ? add(ends, 0, scope) : ends[0];
    add({joined}, 16 * (1 + below(2)), scope);
  }

  void backward() {
    const int last = static_cast<int>(values_.size()) - 1;
    body_ += fmt::format("  %l f32[] = sum({}) dims=[0,1]\n  %loss f32[1] = grain_gather(%l) grains=1\n", name(last));
    body_ += fmt::format("  %g0 f32[{},{}] = exp({})\n", rows, width(last), name(last));
    gradient_.assign(values_.size() + 1, -1);
    gradient_[static_cast<size_t>(last) + 1] = 0;
    names_ = 1;
    for (int v = last; v >= 0; --v) back(v);
    body_ += fmt::format("  %R f32[{},{}] = grain_sum(%g{})\n", rows, first_width, gradient_[0]);
  }

  void back(int v) {
    const Value& value = values_[static_cast<size_t>(v)];
    int g = gradient_[static_cast<size_t>(v) + 1];
    const std::string type = fmt::format("f32[{},{}]", rows, value.width), scope = value.scope;
    if (below(10) < 4) {
      body_ += fmt::format("  %g{} {} = mul(%g{}, {})  @{}\n", names_, type, g, name(v), scope);
      g = names_++;
    }
    for (const int f : value.from) {
      if (value.from.size() == 1 && below(10) < 8) {
        body_ += fmt::format(
            "  %q{0} f32[{1},{2}] = matmul({3}, %g{4}) transpose_a=true into_sum=\"first\"  @{5}\n  %Q{0} f32[{1},{2}] "
            "= grain_sum(%q{0})\n",
            sums_, width(f), value.width, name(f), g, scope);
        ++sums_;
      }
      int& into = gradient_[static_cast<size_t>(f + 1)];
      const std::string of = fmt::format("f32[{},{}]", rows, width(f));
      body_ += fmt::format("  %g{} {} = matmul(%g{}, {}) transpose_b=true  @{}\n", names_, of, g,
                           weight(width(f), value.width), scope);
      const int made = names_++;
      if (into >= 0) body_ += fmt::format("  %g{} {} = add(%g{}, %g{})  @{}\n", names_++, of, into, made, scope);
      into = names_ - 1;
    }
  }

  std::mt19937 random_;
  std::string body_;
  std::vector<Value> values_;
  std::set<std::pair<int, int>> weights_;
  std::vector<int> gradient_;  // by value + 1
  int names_ = 0, sums_ = 0;
};

}  // namespace ringmaster::passes
