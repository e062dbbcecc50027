// SPDX-License-Identifier: Apache-2.0
#include "models/recipe.h"

#include <algorithm>
#include <regex>
#include <set>

#include "core/error.h"
#include "nn/optimizer.h"
#include "ops/ops.h"

namespace ringmaster::models {
namespace {

nn::OptimizerKind kind_of(const std::string& name) {
  if (name == "sgd") return nn::OptimizerKind::sgd;
  return name == "adam" ? nn::OptimizerKind::adam : nn::OptimizerKind::adamw;
}

// The first group that matches wins; one without a match is the optimizer itself.
size_t group_index(const std::string& parameter, const config::Optimizer& optimizer) {
  size_t i = 0;
  while (i < optimizer.groups.size() && !std::regex_search(parameter, std::regex(optimizer.groups[i].match))) ++i;
  return i;
}

// A match that is found in no name: what was probably meant.
std::string cure_for_match(const std::string& match, const std::vector<std::string>& names) {
  std::set<std::string> near;  // names, and what stands between any two of their dots
  for (const std::string& name : names) {
    const std::string dotted = "." + name + ".";
    for (size_t begin = 0; begin + 1 < dotted.size(); begin = dotted.find('.', begin + 1))
      for (size_t end = dotted.find('.', begin + 1); end != std::string::npos; end = dotted.find('.', end + 1))
        if (end - begin > 2) near.insert(dotted.substr(begin + 1, end - begin - 1));
  }
  std::string plain;
  for (const char c : match)
    if (std::string_view("^$*\\()[]+?").find(c) == std::string_view::npos) plain += c;
  const std::string meant = nearest(plain, near);
  std::string cure = meant.empty() ? "" : fmt::format("did you mean `{}`? ", meant);
  const size_t star = match.find('*');
  const bool like_glob = star != std::string::npos && (star == 0 || (match[star - 1] != '.' && match[star - 1] != ']'));
  return cure + (like_glob ? "`match` is no glob: write `.*` where any text may stand"
                           : "`match` is a regular expression that is searched for in the whole name");
}

// A group that decides nothing is a misspelt one, or stands behind one that takes all it could.
void check_groups(const Recipe& recipe, const config::Optimizer& optimizer) {
  std::set<size_t> used;
  std::vector<std::string> names;
  for (const nn::Network& network : recipe.networks()) {
    for (const nn::Parameter& p : network.parameters()) {
      used.insert(group_index(p.name, optimizer));
      names.push_back(p.name);
    }
  }
  constexpr size_t shown = 8;
  const auto last = names.begin() + static_cast<std::ptrdiff_t>(std::min(shown, names.size()));
  for (size_t i = 0; i < optimizer.groups.size(); ++i) {
    if (used.contains(i)) continue;
    const std::string& match = optimizer.groups[i].match;
    const std::regex regex(match);
    const bool taken = std::any_of(names.begin(), names.end(),
                                   [&](const std::string& name) { return std::regex_search(name, regex); });
    throw Error(
        {.kind = ErrorKind::config,
         .message = fmt::format("`optimizer.groups[{}]` decides for no parameter: {}", i,
                                taken ? "groups before it take all that it matches" : "no name holds its match"),
         .key = "optimizer.groups",
         .found = fmt::format("match: {}", match),
         .expected = fmt::format("the first group whose match is in some of the {} names: {}{}", names.size(),
                                 fmt::join(names.begin(), last, ", "), names.size() > shown ? ", ..." : ""),
         .cure = taken ? "put it before the group that takes its parameters, or narrow that one's `match`"
                       : cure_for_match(match, names)});
  }
}

void check_networks(const Recipe& recipe) {
  std::set<std::string> seen;  // an update counts its steps within one phase
  for (const Phase& phase : recipe.phases)
    for (const std::string& name : phase.updates)
      CHECK(seen.insert(name).second, "two phases of {} update the network {}", recipe.name(), name);
}

// Weight decay is for tensors of 2 or more dims unless a group says otherwise.
std::vector<nn::Tuned> tune(const Recipe& recipe, const Phase& phase, const config::Config& config) {
  const config::Optimizer& o = config.optimizer;
  std::vector<nn::Tuned> tuned;
  for (const std::string& name : phase.updates) {
    for (const nn::Parameter& p : recipe.network(name).parameters()) {
      const size_t index = group_index(p.name, o);
      const config::OptimizerGroup group = index < o.groups.size() ? o.groups[index] : config::OptimizerGroup{};
      if (group.frozen) continue;
      tuned.push_back({.parameter = &p,
                       .options = {.kind = kind_of(group.name.value_or(o.name)),
                                   .beta1 = group.beta1.value_or(o.beta1),
                                   .beta2 = group.beta2.value_or(o.beta2),
                                   .eps = o.eps,
                                   .momentum = o.momentum,
                                   .nesterov = o.nesterov,
                                   .stochastic = o.state == "bf16_stochastic"},
                       .lr_factor = group.lr_factor,
                       .weight_decay = group.weight_decay.value_or(p.shape.rank() >= 2 ? o.weight_decay : 0.0),
                       .weight_limit = phase.weight_limit,
                       .average_decay = phase.averaged ? config.ema.decay : 0.0});
    }
  }
  if (!tuned.empty()) return tuned;
  throw Error({.kind = ErrorKind::config,
               .message = fmt::format("`optimizer.groups` freezes all that the phase {} trains", phase.name),
               .key = "optimizer.groups",
               .found = fmt::format("no parameter of {}", fmt::join(phase.updates, ", ")),
               .expected = "at least one that is not frozen",
               .cure = "narrow the `match` of the group with `frozen: true`"});
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

bool keeps_averages(const Recipe& recipe) {
  return std::any_of(recipe.phases.begin(), recipe.phases.end(), [](const Phase& phase) { return phase.averaged; });
}

int64_t num_grains(const config::Config& config) {
  return config.training.global_batch_size / config.training.grain_size;
}

// The forward pass of one grain; its loss terms leave it one number a grain. `trained` is the phase, if it is one.
std::vector<GatheredTerm> grain_region(ir::Builder& b, const Recipe& recipe, const Loss& loss,
                                       const config::Config& config, const Phase* trained) {
  b.enter_region(b.graph().add_region(ir::RegionKind::for_grain));
  const Tensor scale = trained != nullptr && scales_losses(config) ? nn::loss_scale(b, trained->name) : Tensor();
  const Batch batch(b, recipe.inputs, config.training.grain_size);
  std::vector<GatheredTerm> gathered;
  for (const Term& term : loss(batch)) {
    const ir::ScopeGuard scope(b, "loss");
    const Tensor sum =
        trained == nullptr ? term.sum : ops::loss_term(term.sum, term.weight.scalar(), term.coefficient, scale);
    gathered.push_back({ops::grain_gather(sum, num_grains(config)), term});
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
  return ops::input(builder_, name, {it->dtype, batched(it->sample)});
}

Shape Batch::batched(const Shape& sample) const {
  Shape shape{size_};
  for (const int64_t d : sample.dims()) shape.push_back(d);
  return shape;
}

Tensor Batch::normal(const std::string& name, const Shape& sample) const {
  return ops::normal(builder_, batched(sample), "batch." + name);
}

Tensor Batch::uniform(const std::string& name, const Shape& sample) const {
  return ops::uniform(builder_, batched(sample), "batch." + name);
}

Term mean_term(Tensor x_B, double coefficient) { return {ops::sum(x_B), Weight{}, coefficient}; }

const nn::Network& Recipe::network(const std::string& network_name) const {
  for (const nn::Network& network : networks_)
    if (network.name() == network_name) return network;
  CHECK(false, "the recipe {} has no network {}", name_, network_name);
  return networks_.front();
}

int64_t Recipe::num_parameters() const {
  int64_t n = 0;
  for (const nn::Network& network : networks_) n += network.num_elements();
  return n;
}

bool adds_integers(const config::Config& config) { return config.training.numerics == "invariant"; }

bool scales_losses(const config::Config& config) { return config.precision.compute == "f16"; }

std::vector<ir::State> all_states(const Recipe& recipe, const config::Config& config) {
  if (config.ema.decay > 0 && !keeps_averages(recipe)) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("`ema.decay` is given, but the recipe {} keeps no average", recipe.name()),
                 .key = "ema.decay",
                 .found = fmt::format("{}", config.ema.decay),
                 .expected = "0",
                 .cure = "remove `ema.decay`"});
  }
  check_networks(recipe);
  check_groups(recipe, config.optimizer);
  std::vector<ir::State> states = program("states", recipe).states();
  for (const ir::StateRole role : {ir::StateRole::optimizer, ir::StateRole::average})
    for (const Phase& phase : recipe.phases)
      for (const nn::Tuned& tuned : tune(recipe, phase, config))
        for (const ir::State& s : nn::update_states(tuned))
          if (s.role == role) states.push_back(s);
  if (scales_losses(config))
    for (const Phase& phase : recipe.phases) states.push_back(nn::loss_scale_state(phase.name));
  if (adds_integers(config))
    for (const Phase& phase : recipe.phases)
      states.push_back(nn::gradient_maxima_state(phase.name, std::ssize(tune(recipe, phase, config))));
  return states;
}

ir::Graph trace_phase(const Recipe& recipe, const Phase& phase, const config::Config& config) {
  ir::Graph graph = program(phase.name, recipe);
  const std::vector<nn::Tuned> tuned = tune(recipe, phase, config);
  for (const nn::Tuned& t : tuned)
    for (const ir::State& s : nn::update_states(t)) graph.add_state(s);
  if (scales_losses(config)) graph.add_state(nn::loss_scale_state(phase.name));
  if (adds_integers(config)) graph.add_state(nn::gradient_maxima_state(phase.name, std::ssize(tuned)));
  ir::Builder b(graph);
  b.set_training(true);
  const std::vector<GatheredTerm> terms = grain_region(b, recipe, phase.loss, config, &phase);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  Tensor loss;
  for (const GatheredTerm& t : terms) {
    const ir::ScopeGuard scope(b, "loss");
    const Tensor mean = ops::div(ops::sum(t.sums), ops::scalar(b, t.term.weight.scalar()));
    const Tensor part = t.term.coefficient == 1.0 ? mean : ops::scale(mean, t.term.coefficient);
    loss = loss.valid() ? ops::add(loss, part) : part;
  }
  ops::output(loss, "loss");
  nn::update(
      b, tuned, loss,
      {.max_norm = config.training.max_norm,
       .scaled = scales_losses(config) ? std::optional(phase.name) : std::nullopt,
       .fixed = adds_integers(config) ? std::optional(nn::FixedPoint{phase.name, num_grains(config)}) : std::nullopt});
  return graph;
}

ir::Graph trace_evaluator(const Recipe& recipe, const Evaluator& evaluator, const config::Config& config) {
  ir::Graph graph = program(evaluator.name, recipe);
  ir::Builder b(graph);
  const std::vector<GatheredTerm> terms = grain_region(b, recipe, evaluator.loss, config, nullptr);
  CHECK(terms.size() == 1 && terms.front().term.coefficient == 1.0, "evaluator {} has more than one plain term",
        evaluator.name);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(terms.front().sums, "sums");
  return graph;
}

ir::Graph trace_sampler(const Recipe& recipe, const config::Config&) {
  if (!recipe.rows.rows) return logits_program("sampler", recipe, recipe.sampler.inputs, recipe.sampler.logits);
  ir::Graph graph = program("sampler", recipe);
  ir::Builder b(graph);
  b.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(recipe.rows.rows(Batch(b, recipe.inputs, recipe.rows.batch)), "rows");
  return graph;
}

ir::Graph trace_decoder(const Recipe& recipe, const config::Config&) {
  return logits_program("decoder", recipe, recipe.sampler.decoder.inputs, recipe.sampler.decoder.logits);
}

}  // namespace ringmaster::models
