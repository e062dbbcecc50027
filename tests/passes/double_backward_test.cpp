// SPDX-License-Identifier: Apache-2.0
// A loss that holds a slope: the gradient penalty of WGAN-GP (Gulrajani et al. 2017). The slope is taken while tracing, the
// gradient of the loss by autodiff over it, and both are judged by differences of the loss in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/error.h"
#include "core/philox.h"
#include "ir/eval.h"
#include "ops/gradient.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

using ir::Tensor;
using Layer = std::function<Tensor(Tensor)>;

constexpr int64_t samples = 3, width = 4, grains = 2;
constexpr double count = samples * grains;

struct Weights {
  const char* name;
  Shape shape;
};
const Weights weights[] = {{"w0", {width, 5}}, {"b0", {5}}, {"w1", {5, 5}}, {"b1", {5}}, {"w2", {5, 1}}, {"b2", {1}}};

ir::RefTensor draw(const Shape& shape, const std::string& name) {
  const RandomStream stream({.seed = 3, .stream = stable_hash(name)});
  ir::RefTensor t{{DType::f32, shape}, {}};
  for (int64_t i = 0; i < shape.elements(); ++i)
    t.data.push_back(1.6 * static_cast<double>(uniform(stream.words(0, static_cast<uint64_t>(i))[0])) - 0.8);
  return t;
}

// critic(x) = linear . act . linear . act . linear; penalty (|slope| - 1)^2 at random points between real and fake, beside the
// critic's own score. `head` acts on the slope before its norm.
ir::Graph traced(const Layer& act, const Layer& head, bool with_gradients) {
  ir::Graph graph("critic");
  for (const Weights& w : weights) graph.add_state({w.name, {DType::f32, w.shape}});
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::for_grain));
  const auto read = [&](const char* name) { return ops::state_read(b, name); };
  const auto critic = [&](Tensor x) {
    x = act(ops::linear(x, read("w0"), read("b0")));
    x = act(ops::linear(x, read("w1"), read("b1")));
    return ops::linear(x, read("w2"), read("b2"));
  };
  b.set_scope("critic");
  const Tensor real = ops::input(b, "real", {DType::f32, {samples, width}});
  const Tensor between = ops::lerp(real, ops::normal(b, {samples, width}), ops::uniform(b, {samples, 1}));
  const Tensor slope = ops::gradient(ops::sum(critic(between)), between);
  const Tensor penalty = ops::sum(ops::square(ops::norm_last(head(slope), 1e-12) - 1.0));
  const Tensor terms[] = {ops::loss_term(penalty, "n", 10.0), ops::loss_term(ops::sum(critic(real)), "n", -1.0)};
  std::vector<Tensor> sums;
  for (const Tensor& term : terms) sums.push_back(ops::grain_gather(term, grains));
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(10.0 * ops::sum(sums[0]) - ops::sum(sums[1]), "loss");
  if (with_gradients)
    for (const Weights& w : weights) ops::output(ops::gradient_of(read(w.name)), std::string("d_") + w.name);
  return graph;
}

ir::EvalInputs data() {
  ir::EvalInputs in{.scalars = {{"n", count}}, .num_grains = grains, .grain_size = samples};
  in.context = {.seed = 9, .step = 4, .first_sample = 12};
  for (int64_t g = 0; g < grains; ++g) in.inputs["real"].push_back(draw({samples, width}, "real" + std::to_string(g)));
  for (const Weights& w : weights) in.states[w.name] = draw(w.shape, w.name);
  return in;
}

// Every element of every weight, against central differences of the loss.
void expect_gradients(const Layer& act, const Layer& head) {
  ir::Graph forward = traced(act, head, false), backward = traced(act, head, true);
  run(forward, {.ranks = 1});
  run(backward, {.ranks = 1});
  ir::EvalInputs in = data();
  const auto gradients = ir::evaluate(backward, in);
  constexpr double h = 1e-5;
  double moved = 0;
  for (const Weights& w : weights) {
    for (size_t e = 0; e < static_cast<size_t>(w.shape.elements()); ++e) {
      double& x = in.states.at(w.name).data[e];
      const double saved = x;
      const auto loss_at = [&](double at) {
        x = at;
        return ir::evaluate(forward, in).at("loss").data[0] / count;
      };
      const double difference = (loss_at(saved + h) - loss_at(saved - h)) / (2 * h);
      x = saved;
      const double g = gradients.at(std::string("d_") + w.name).data[e];
      EXPECT_NEAR(g, difference, 1e-6 * std::max(1.0, std::abs(g))) << w.name << " " << e;
      moved = std::max(moved, std::abs(g));
    }
  }
  EXPECT_GT(moved, 1e-2);  // there is something to compare
}

Tensor same(Tensor x) { return x; }

TEST(DoubleBackward, GradientPenaltyOfPiecewiseLinearCritics) {
  expect_gradients(ops::relu, same);
  expect_gradients([](Tensor x) { return ops::leaky_relu(x, 0.2); }, same);
  expect_gradients([](Tensor x) { return ops::maximum(x, 0.3 * x); }, same);
}

TEST(DoubleBackward, GradientPenaltyOfSmoothCritics) {
  expect_gradients(ops::tanh, same);
  expect_gradients([](Tensor x) { return ops::softmax(x); }, same);
}

// Ops whose backward is one fused node without a gradient of its own.
TEST(DoubleBackward, FusedOpsBeforeTheSlopeAreDifferentiatedAsTheirPrimitives) {
  expect_gradients(ops::gelu, same);
  expect_gradients(
      [](Tensor x) {
        ir::Builder& b = x.builder();
        const ir::Type row{DType::f32, {x.dim(-1)}};
        return ops::layer_norm(x, ops::full(b, row, 1.1), ops::full(b, row, 0.1));
      },
      same);
}

TEST(DoubleBackward, FusedOpsBehindTheSlope) {
  expect_gradients(ops::tanh, ops::gelu);
  expect_gradients(ops::gelu, [](Tensor slope) { return ops::gelu(ops::softmax(slope)); });
}

// A slope of a slope: the fused backward is met while tracing, where no pass has run.
TEST(DoubleBackward, ThreeTimesThroughAFusedOp) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  const Tensor x = ops::input(b, "x", {DType::f32, {}});
  std::vector<Tensor> y{ops::gelu(x)};
  for (int order = 0; order < 3; ++order) y.push_back(ops::gradient(y.back(), x));
  for (size_t i = 0; i < y.size(); ++i) ops::output(y[i], std::to_string(i));
  ir::verify(graph, "trace");
  const auto at = [&](double point) {
    ir::EvalInputs in{.inputs = {{"x", {{{DType::f32, {}}, {point}}}}}};
    return ir::evaluate(graph, in);
  };
  constexpr double h = 1e-5;
  for (const double point : {-1.3, -0.2, 0.0, 0.4, 2.1}) {
    const auto here = at(point), left = at(point - h), right = at(point + h);
    for (size_t i = 1; i < y.size(); ++i) {
      const std::string below = std::to_string(i - 1);
      EXPECT_NEAR(here.at(std::to_string(i)).data[0], (right.at(below).data[0] - left.at(below).data[0]) / (2 * h),
                  1e-7)
          << "order " << i << " at " << point;
    }
  }
}

// Handles that the recipe holds stay good: nothing of the forward pass is replaced under its feet.
TEST(DoubleBackward, ForwardValuesKeepTheirNodes) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  b.set_scope("net.act");
  const Tensor x = ops::input(b, "x", {DType::f32, {3}}), y = ops::gelu(x);
  b.set_scope("net.penalty");
  const Tensor slope = ops::gradient(ops::sum(y), x);
  EXPECT_EQ(graph.producer(y.id()).op->name, std::string("gelu"));
  EXPECT_EQ(graph.producer(slope.id()).scope, "net.act");
  const Tensor second = ops::gradient(ops::sum(ops::square(slope)), x);
  EXPECT_EQ(graph.producer(second.id()).scope, "net.act");
  EXPECT_FALSE(graph.producer(y.id()).dead);
  EXPECT_EQ(b.scope(), "net.penalty");
}

// Taking a slope draws no number, so every stream stays what it is without it.
TEST(DoubleBackward, RandomStreamsDoNotShift) {
  const auto stream_behind = [](bool with_slope) {
    ir::Graph graph;
    ir::Builder b(graph);
    b.enter_region(graph.add_region(ir::RegionKind::for_grain));
    b.set_scope("net");
    const Tensor x = ops::input(b, "x", {DType::f32, {8}});
    const Tensor y = ops::dropout(ops::gelu(x), 0.5);
    if (with_slope) ops::gradient(ops::sum(ops::square(y)), x);
    return graph.producer(ops::dropout(x, 0.5).id()).attrs.integer("stream");
  };
  EXPECT_EQ(stream_behind(true), stream_behind(false));
}

ErrorInfo refusal(const std::function<void(ir::Builder&)>& body) {
  ir::Graph graph;
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  b.set_scope("critic");
  try {
    body(b);
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(DoubleBackward, RefusesWhatHasNoSlope) {
  const auto given = [](ir::Builder& b, const ir::Type& type) { return ops::input(b, "x", type); };
  const ErrorInfo vector = refusal([&](ir::Builder& b) {
    const Tensor x = given(b, {DType::f32, {2}});
    ops::gradient(ops::square(x), x);
  });
  EXPECT_EQ(vector.kind, ErrorKind::config);
  EXPECT_EQ(vector.message, "gradient of critic: y is f32[2]");
  const ErrorInfo stopped = refusal([&](ir::Builder& b) {
    const Tensor x = given(b, {DType::f32, {2}});
    ops::gradient(ops::sum(ops::stop_gradient(x)), x);
  });
  EXPECT_EQ(stopped.kind, ErrorKind::config);
  EXPECT_EQ(stopped.message, "gradient of critic: y does not depend on x");
  const ErrorInfo ids = refusal([&](ir::Builder& b) {
    const Tensor x = given(b, {DType::i32, {2}});
    ops::gradient(ops::sum(ops::one_hot(x, 3)), x);
  });
  EXPECT_EQ(ids.message, "gradient of critic: y is f32[], x is i32[2]");
}

}  // namespace
}  // namespace ringmaster::passes
