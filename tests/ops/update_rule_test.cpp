// SPDX-License-Identifier: Apache-2.0
// An update has the bits of its formula, one operation behind the other, each rounded to f32, whatever registers it runs in.
// scripts/cpu-caps runs this in the narrow ones too.
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/ops/update_case.h"

namespace ringmaster::ops {
namespace {

constexpr float lr = 0.01F, clip = 0.5F;
constexpr double step = 3.0;

// Drawn ones, with what arithmetic likes least in between.
std::vector<double> values(int64_t n, const std::string& name, bool positive) {
  constexpr double infinity = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();
  constexpr double special[] = {0.0, -0.0, infinity, -infinity, none, 1e-40, -1e-40, 1e-46, 3e38};
  std::vector<double> list = draw({.kind = positive ? ir::Fill::positive : ir::Fill::normal}, n, name, 0);
  for (size_t i = 5; i < list.size(); i += 7) {
    const double x = special[(i * name.size() + i / 7) % std::size(special)];
    list[i] = positive ? std::abs(x) : x;
  }
  return list;
}

float clamped(float x, float limit) { return std::isnan(x) ? x : std::min(std::max(x, -limit), limit); }

struct Element {
  float w, m, v, g;
};

Element adam_of(Element e, float decay, bool decoupled, float limit) {
  const auto f = [](double x) { return static_cast<float>(x); };
  const float keep = f(decoupled ? 1.0 - double{lr} * 0.1 : 1.0), joins = decoupled ? 0.0F : decay;
  const float g = std::fma(joins, e.w, clip * e.g);
  e.m = std::fma(0.9F, e.m, f(1.0 - 0.9) * g);
  e.v = std::fma(0.95F, e.v, f(1.0 - 0.95) * g * g);
  const float denominator = std::fma(std::sqrt(e.v), f(1.0 / std::sqrt(1.0 - std::pow(0.95, step))), 1e-8F);
  e.w = clamped(e.w * keep - f(double{lr} / (1.0 - std::pow(0.9, step))) * (e.m / denominator), limit);
  return e;
}

Element sgd_of(Element e, float decay, float limit) {  // with nesterov's momentum of 0.9
  const float g = std::fma(decay, e.w, clip * e.g);
  e.m = std::fma(0.9F, e.m, g);
  e.w = clamped(e.w - lr * std::fma(0.9F, e.m, 1.0F * g), limit);
  return e;
}

// `states` with the weight; rule(element) is what one element becomes
template <typename Rule>
void expect_rule(const char* op, size_t states, const ir::Attrs& attrs, int64_t n, const Rule& rule) {
  const Case c = update_case(op, states, n, attrs);
  const char* const names[] = {"weight", "first", "second", "gradient"};
  std::vector<ir::RefTensor> in;
  for (size_t k = 0; k < states; ++k) in.push_back({c.sample.in[k], values(n, names[k], k == 2)});
  in.push_back({c.sample.in[states], values(n, names[3], false)});
  for (const double scalar : {double{lr}, step, double{clip}, 1.0}) in.push_back({c.sample.in[in.size()], {scalar}});
  const auto at = [&](size_t k, int64_t i) { return static_cast<float>(in[k].data[static_cast<size_t>(i)]); };
  for (const bool in_place : {false, true}) {
    const auto out = run_kernel(c, in, {.threads = 3, .in_place = in_place});
    for (int64_t i = 0; i < n; ++i) {
      const Element now = rule({at(0, i), at(1, i), states == 3 ? at(2, i) : 0.0F, at(states, i)});
      const float expected[] = {now.w, now.m, now.v};
      for (size_t k = 0; k < states; ++k) {
        float found = 0.0F;
        std::memcpy(&found, out[k].data() + i * 4, sizeof found);
        if (std::isnan(expected[k]))
          ASSERT_TRUE(std::isnan(found)) << op << ", output " << k << ", element " << i << " of " << n << ": " << found;
        else
          ASSERT_EQ(std::memcmp(&found, &expected[k], sizeof found), 0)
              << op << ", output " << k << ", element " << i << " of " << n << ": " << found << ", expected "
              << expected[k];
      }
    }
  }
}

TEST(UpdateRule, HasTheBitsOfItsFormula) {
  constexpr float unlimited = std::numeric_limits<float>::infinity();
  for (const int64_t n : {1, 15, 17, 513, 40000}) {
    expect_rule("adam", 3, {{"weight_decay", 0.1}}, n, [](Element e) { return adam_of(e, 0.1F, true, unlimited); });
    expect_rule("adam", 3, {{"weight_decay", 0.1}, {"decoupled", false}, {"limit", 0.5}}, n,
                [](Element e) { return adam_of(e, 0.1F, false, 0.5F); });
    expect_rule("sgd", 2, {{"momentum", 0.9}, {"nesterov", true}, {"weight_decay", 0.1}, {"limit", 0.5}}, n,
                [](Element e) { return sgd_of(e, 0.1F, 0.5F); });
  }
}

}  // namespace
}  // namespace ringmaster::ops
