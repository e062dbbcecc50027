// SPDX-License-Identifier: Apache-2.0
// recipe: what a model trains on and how: its networks, the batch tensors it reads, phases (one loss and the networks that it
// updates), evaluators and a sampler. A recipe is a file of src/models that reads top to bottom; tracing turns it into programs.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/config.h"
#include "nn/module.h"

namespace ringmaster::models {

using ir::Tensor;

// A batch tensor as one sample has it; in a grain it is [grain_size, sample...].
struct InputSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape sample;
};

// The number of entries of a batch tensor that count (are not 0), over the whole step: an integer, known before forward.
struct Weight {
  std::string input;
  std::string scalar() const { return "weight." + input; }
};

// coefficient * sum / weight; `sum` is over this grain, `weight` over the step, so no split of the batch changes the loss.
struct Term {
  Tensor sum;
  Weight weight;
  double coefficient = 1.0;
};

// The batch of the grain under construction.
class Batch {
 public:
  Batch(ir::Builder& builder, const std::vector<InputSpec>& inputs, int64_t size)
      : builder_(builder), inputs_(inputs), size_(size) {}
  Tensor operator[](const std::string& name) const;
  Weight count(const std::string& name) const { return {name}; }
  int64_t size() const { return size_; }  // samples in the grain
  ir::Builder& builder() const { return builder_; }

 private:
  ir::Builder& builder_;
  const std::vector<InputSpec>& inputs_;
  int64_t size_;
};

using Loss = std::function<std::vector<Term>(const Batch&)>;

struct Phase {
  std::string name;
  nn::Network* updates = nullptr;
  Loss loss;
};

struct Evaluator {
  std::string name;
  Loss loss;
};

// A one-step program over `inputs` whose result is the output "logits"; sampling.h drives it. `decoder` gives the same bits from
// one token a run: it keeps the others in caches (nn::Cache), whose states its trace declares. A recipe may leave it empty.
struct Sampler {
  std::vector<InputSpec> inputs;
  std::function<Tensor(const Batch&)> logits;
  struct Decoder {
    std::vector<InputSpec> inputs;
    std::function<Tensor(const Batch&)> logits;
  } decoder;
};

class Recipe {
 public:
  explicit Recipe(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }

  // Builds Module(scope, args...) in a network of its own and keeps it; `path` is the root of its parameter names.
  template <typename Module, typename... Args>
  Module& network(const std::string& network_name, const std::string& path, const Args&... args) {
    networks_.emplace_back(network_name);
    auto module = std::make_shared<Module>(nn::Scope(networks_.back(), path), args...);
    modules_.push_back(module);
    return *module;
  }
  nn::Network& last_network() { return networks_.back(); }
  const std::deque<nn::Network>& networks() const { return networks_; }

  std::vector<InputSpec> inputs;  // of a training or validation batch
  std::vector<Phase> phases;
  std::vector<Evaluator> evaluators;
  Sampler sampler;
  nlohmann::json hugging_face_config;  // config.json of a checkpoint, without our keys

  int64_t num_parameters() const;

 private:
  std::string name_;
  std::deque<nn::Network> networks_;
  std::vector<std::shared_ptr<void>> modules_;
};

// ---- programs
// Every persistent tensor of a run, in file order: weights of all networks, then what their optimizers keep.
std::vector<ir::State> all_states(const Recipe& recipe, const config::Config& config);
// `for grain`: forward and loss terms; `step`: loss, gradient norm, decision, update. Outputs loss, grad_norm, commit.
ir::Graph trace_phase(const Recipe& recipe, const Phase& phase, const config::Config& config);
// Outputs "sums": f32[num_grains], the first term's sum of each grain, in grain order.
ir::Graph trace_evaluator(const Recipe& recipe, const Evaluator& evaluator, const config::Config& config);
// `step` only, batch of 1. Output "logits".
ir::Graph trace_sampler(const Recipe& recipe, const config::Config& config);
ir::Graph trace_decoder(const Recipe& recipe, const config::Config& config);

}  // namespace ringmaster::models
