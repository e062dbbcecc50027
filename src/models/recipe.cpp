// SPDX-License-Identifier: Apache-2.0
#include "models/recipe.h"

#include <algorithm>
#include <regex>

#include "core/error.h"
#include "nn/optimizer.h"
#include "ops/ops.h"

namespace ringmaster::models {
namespace {

nn::OptimizerOptions optimizer_options(const config::Config& config) {
  const auto& o = config.optimizer;
  const auto kind = o.name == "sgd"    ? nn::OptimizerKind::sgd
                    : o.name == "adam" ? nn::OptimizerKind::adam
                                       : nn::OptimizerKind::adamw;
  return {.kind = kind,
          .beta1 = o.beta1,
          .beta2 = o.beta2,
          .eps = o.eps,
          .momentum = o.momentum,
          .nesterov = o.nesterov,
          .max_norm = config.training.max_norm};
}

// Weight decay is for tensors of 2 or more dims unless a group says otherwise; the first group that matches wins.
std::vector<nn::Tuned> tune(const nn::Network& network, const config::Optimizer& optimizer) {
  std::vector<nn::Tuned> tuned;
  for (const nn::Parameter& p : network.parameters()) {
    nn::Tuned t{.parameter = &p, .weight_decay = p.shape.rank() >= 2 ? optimizer.weight_decay : 0.0};
    for (const config::OptimizerGroup& group : optimizer.groups) {
      if (!std::regex_search(p.name, std::regex(group.match))) continue;
      t.lr_factor = group.lr_factor;
      t.weight_decay = group.weight_decay.value_or(t.weight_decay);
      break;
    }
    tuned.push_back(t);
  }
  return tuned;
}

ir::Graph program(const std::string& name, const Recipe& recipe) {
  ir::Graph graph(name);
  for (const nn::Network& network : recipe.networks())
    for (const nn::Parameter& p : network.parameters())
      graph.add_state({p.name, {DType::f32, p.shape}, ir::StateRole::weight});
  return graph;
}

struct GatheredTerm {
  Tensor sums;  // f32[num_grains]
  Term term;
};

// The forward pass of one grain; its loss terms leave it one number a grain.
std::vector<GatheredTerm> grain_region(ir::Builder& b, const Recipe& recipe, const Loss& loss,
                                       const config::Config& config) {
  b.enter_region(b.graph().add_region(ir::RegionKind::for_grain));
  const Batch batch(b, recipe.inputs, config.training.grain_size);
  std::vector<GatheredTerm> gathered;
  for (const Term& term : loss(batch)) {
    const ir::ScopeGuard scope(b, "loss");
    const Tensor sum = b.training() ? ops::loss_term(term.sum, term.weight.scalar(), term.coefficient) : term.sum;
    gathered.push_back({ops::grain_gather(sum, config.training.global_batch_size / config.training.grain_size), term});
  }
  return gathered;
}

ir::Graph logits_program(const std::string& name, const Recipe& recipe, const std::vector<InputSpec>& inputs,
                         const std::function<Tensor(const Batch&)>& logits) {
  ir::Graph graph = program(name, recipe);
  ir::Builder b(graph);
  b.set_row_stable(true);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(logits(Batch(b, inputs, 1)), "logits");
  return graph;
}

}  // namespace

Tensor Batch::operator[](const std::string& name) const {
  const auto it = std::find_if(inputs_.begin(), inputs_.end(), [&](const InputSpec& s) { return s.name == name; });
  CHECK(it != inputs_.end(), "the recipe declares no batch tensor {}", name);
  Shape shape{size_};
  for (const int64_t d : it->sample.dims()) shape.push_back(d);
  return ops::input(builder_, name, {it->dtype, shape});
}

int64_t Recipe::num_parameters() const {
  int64_t n = 0;
  for (const nn::Network& network : networks_) n += network.num_elements();
  return n;
}

std::vector<ir::State> all_states(const Recipe& recipe, const config::Config& config) {
  std::vector<ir::State> states = program("states", recipe).states();
  for (const Phase& phase : recipe.phases)
    for (const nn::Parameter& p : phase.updates->parameters())
      for (const ir::State& s : nn::optimizer_states(p, optimizer_options(config))) states.push_back(s);
  return states;
}

ir::Graph trace_phase(const Recipe& recipe, const Phase& phase, const config::Config& config) {
  ir::Graph graph = program(phase.name, recipe);
  const nn::OptimizerOptions options = optimizer_options(config);
  for (const nn::Parameter& p : phase.updates->parameters())
    for (const ir::State& s : nn::optimizer_states(p, options)) graph.add_state(s);
  ir::Builder b(graph);
  b.set_training(true);
  const std::vector<GatheredTerm> terms = grain_region(b, recipe, phase.loss, config);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  Tensor loss;
  for (const GatheredTerm& t : terms) {
    const ir::ScopeGuard scope(b, "loss");
    const Tensor mean = ops::div(ops::sum(t.sums), ops::scalar(b, t.term.weight.scalar()));
    const Tensor part = t.term.coefficient == 1.0 ? mean : ops::scale(mean, t.term.coefficient);
    loss = loss.valid() ? ops::add(loss, part) : part;
  }
  ops::output(loss, "loss");
  nn::update(b, tune(*phase.updates, config.optimizer), loss, options);
  return graph;
}

ir::Graph trace_evaluator(const Recipe& recipe, const Evaluator& evaluator, const config::Config& config) {
  ir::Graph graph = program(evaluator.name, recipe);
  ir::Builder b(graph);
  const std::vector<GatheredTerm> terms = grain_region(b, recipe, evaluator.loss, config);
  CHECK(terms.size() == 1 && terms.front().term.coefficient == 1.0, "evaluator {} has more than one plain term",
        evaluator.name);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(terms.front().sums, "sums");
  return graph;
}

ir::Graph trace_sampler(const Recipe& recipe, const config::Config&) {
  return logits_program("sampler", recipe, recipe.sampler.inputs, recipe.sampler.logits);
}

ir::Graph trace_decoder(const Recipe& recipe, const config::Config&) {
  return logits_program("decoder", recipe, recipe.sampler.decoder.inputs, recipe.sampler.decoder.logits);
}

}  // namespace ringmaster::models
