// SPDX-License-Identifier: Apache-2.0
// Gradients of every op against central differences in f64, through the reference evaluator: L = sum_k <y_k, r_k> with random r.
// Second gradients: of primitives as they are, of fused ops after decompose().
#include <algorithm>
#include <cmath>
#include <memory>

#include "core/error.h"
#include "ir/eval.h"
#include "ops/gradient.h"
#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {
namespace {

constexpr double step = 1e-5;           // of the differences; the error is about step^2 + 1e-16 / step
constexpr double tolerance = 1e-6;      // relative to the largest gradient element, or to 1
constexpr size_t elements_checked = 6;  // an input, besides one random direction

// A program of one op with inputs x0.. and random weights of its outputs, ending in the scalar `loss`.
struct Program {
  ir::Graph graph{"sample"};
  ir::Builder builder{graph};
  std::vector<Tensor> xs;
  Tensor loss;
  std::vector<size_t> wanted;  // inputs to differentiate by
  ir::EvalInputs data;

  // <y, r> as f32, r a fresh random input
  Tensor weigh(Tensor y) {
    const std::string name = "r" + std::to_string(data.inputs.size());
    data.inputs[name] = {{y.type(), draw({}, y.shape().elements(), name, 0)}};
    return cast(sum(y * input(builder, name, y.type())), DType::f32);
  }
  Tensor weigh_all(std::span<const Tensor> ys) {
    Tensor total = full(builder, {DType::f32, {}}, 0.0);
    for (const Tensor& y : ys)
      if (y.valid() && is_float(y.dtype())) total = total + weigh(y);
    return total;
  }
  // by the wanted inputs; an invalid one where the loss does not depend on it
  std::vector<Tensor> gradients(Tensor of) {
    std::vector<Tensor> by;
    for (const size_t i : wanted) by.push_back(xs[i]);
    return gradient(of, full(builder, of.type(), 1.0), by);
  }
};

std::unique_ptr<Program> program_of(const Case& c) {
  auto p = std::make_unique<Program>();
  p->builder.enter_region(p->graph.add_region(ir::RegionKind::step));
  p->data.context = test_context();
  const std::vector<ir::RefTensor> in = draw_inputs(c);
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    p->xs.push_back(input(p->builder, name, in[i].type));
    p->data.inputs[name] = {in[i]};
    const auto& by = c.sample.differentiate;
    const bool listed = std::find(by.begin(), by.end(), static_cast<int>(i)) != by.end();
    if (is_float(in[i].type.dtype) && (by.empty() || listed)) p->wanted.push_back(i);
  }
  p->loss = p->weigh_all(p->builder.emit(*c.op, p->xs, c.sample.attrs));
  return p;
}

// d loss / d x along a direction of input i
double difference(Program& p, size_t i, const std::vector<double>& direction) {
  std::vector<double>& x = p.data.inputs.at("x" + std::to_string(i))[0].data;
  const std::vector<double> saved = x;
  double side[2];
  for (int s = 0; s < 2; ++s) {
    for (size_t e = 0; e < x.size(); ++e) x[e] = saved[e] + (s == 0 ? step : -step) * direction[e];
    side[s] = ir::evaluate(p.graph, p.data).at("loss").data[0];
  }
  x = saved;
  return (side[0] - side[1]) / (2 * step);
}

// `forward` ends in the scalar output "loss"; `backward` computes the gradient g<i> of the same loss for every wanted input.
void expect_gradients(Program& forward, Program& backward) {
  const auto gradients = ir::evaluate(backward.graph, backward.data);
  for (const size_t i : forward.wanted) {
    SCOPED_TRACE("input " + std::to_string(i));
    const auto found = gradients.find("g" + std::to_string(i));
    const auto n = static_cast<size_t>(forward.xs[i].shape().elements());
    const std::vector<double> g = found == gradients.end() ? std::vector<double>(n) : found->second.data;
    ASSERT_EQ(g.size(), n);
    double scale = 1;
    for (const double d : g) scale = std::max(scale, std::abs(d));
    const std::vector<double> direction = draw({}, static_cast<int64_t>(n), "direction", i);
    double along = 0;
    for (size_t e = 0; e < n; ++e) along += g[e] * direction[e];
    EXPECT_NEAR(along, difference(forward, i, direction), tolerance * scale * std::sqrt(static_cast<double>(n) + 1));
    for (size_t k = 0; k < std::min(n, elements_checked); ++k) {
      const size_t e = k * n / std::min(n, elements_checked);
      std::vector<double> unit(n);
      unit[e] = 1;
      EXPECT_NEAR(g[e], difference(forward, i, unit), tolerance * scale) << "element " << e;
    }
  }
}

void output_gradients(Program& p, const std::vector<Tensor>& gradients) {
  for (size_t k = 0; k < p.wanted.size(); ++k)
    if (gradients[k].valid()) output(gradients[k], "g" + std::to_string(p.wanted[k]));
}

bool small_and_differentiable(const Case& c) { return !c.sample.shipped && c.op->traits.differentiable; }
bool small_and_fused(const Case& c) { return !c.sample.shipped && c.op->decompose != nullptr; }

class ConformanceGradient : public testing::TestWithParam<Case> {};
class ConformanceDecomposition : public testing::TestWithParam<Case> {};

}  // namespace

TEST_P(ConformanceGradient, EqualsDifferences) {
  const Case& c = GetParam();
  const auto forward = program_of(c), backward = program_of(c);
  output(forward->loss, "loss");
  if (c.op->grad == nullptr) decompose(backward->builder);
  output_gradients(*backward, backward->gradients(backward->loss));
  expect_gradients(*forward, *backward);
}

// The loss is now <gradient, r>: its gradient is checked against its own differences.
TEST_P(ConformanceGradient, SecondEqualsDifferences) {
  const Case& c = GetParam();
  const auto slope_of = [&] {
    auto p = program_of(c);
    decompose(p->builder);  // leaves primitives as they are
    p->loss = p->weigh_all(p->gradients(p->loss));
    return p;
  };
  const auto forward = slope_of(), backward = slope_of();
  output(forward->loss, "loss");
  output_gradients(*backward, backward->gradients(backward->loss));
  expect_gradients(*forward, *backward);
}

TEST_P(ConformanceDecomposition, EqualsOp) {
  const Case& c = GetParam();
  ir::Graph graph;
  ir::Builder builder(graph);
  builder.enter_region(graph.add_region(ir::RegionKind::step));
  ir::EvalInputs data{.context = test_context()};
  const std::vector<ir::RefTensor> in = draw_inputs(c), expected = run_reference(c, in);
  std::vector<Tensor> xs;
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    xs.push_back(input(builder, name, in[i].type));
    data.inputs[name] = {in[i]};
  }
  const std::vector<Tensor> ys = builder.emit(*c.op, xs, c.sample.attrs);
  for (size_t k = 0; k < ys.size(); ++k) output(ys[k], "y" + std::to_string(k));
  decompose(builder);
  ir::verify(graph, "decompose");
  for (const ir::NodeId id : graph.regions()[0].nodes) EXPECT_EQ(graph.node(id).op->decompose, nullptr);
  const auto got = ir::evaluate(graph, data);
  for (size_t k = 0; k < ys.size(); ++k) {
    const ir::RefTensor& y = got.at("y" + std::to_string(k));
    ASSERT_EQ(y.type, expected[k].type);
    for (size_t e = 0; e < y.data.size(); ++e)
      ASSERT_NEAR(y.data[e], expected[k].data[e], 1e-9 * std::max(1.0, std::abs(expected[k].data[e])))
          << "output " << k << ", element " << e;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, ConformanceGradient, testing::ValuesIn(cases_where(small_and_differentiable)),
                         CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceDecomposition, testing::ValuesIn(cases_where(small_and_fused)), CaseName());

}  // namespace ringmaster::ops
