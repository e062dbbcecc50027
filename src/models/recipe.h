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

// What a sum is divided by, over the whole step: the number of entries of a batch tensor that count (are not 0), or, without a
// tensor, the number of samples. An integer, known before forward.
struct Weight {
  std::string input = {};
  std::string scalar() const { return input.empty() ? "samples" : "weight." + input; }
};

// coefficient * sum / weight; `sum` is over this grain, `weight` over the step, so no split of the batch changes the loss.
struct Term {
  Tensor sum;
  Weight weight;
  double coefficient = 1.0;
};
// coefficient * the mean of x_B over the samples of the step; x_B has one number a sample
Term mean_term(Tensor x_B, double coefficient = 1.0);

// The batch of the grain under construction.
class Batch {
 public:
  Batch(ir::Builder& builder, const std::vector<InputSpec>& inputs, int64_t size)
      : builder_(builder), inputs_(inputs), size_(size) {}
  Tensor operator[](const std::string& name) const;
  // [size, sample...], drawn anew in every step, phase and repeat; draws of one name are equal within a program
  Tensor normal(const std::string& name, const Shape& sample) const;
  Tensor uniform(const std::string& name, const Shape& sample) const;  // [0, 1)
  Weight count(const std::string& name) const { return {name}; }
  int64_t size() const { return size_; }  // samples in the grain
  ir::Builder& builder() const { return builder_; }

 private:
  Shape batched(const Shape& sample) const;
  ir::Builder& builder_;
  const std::vector<InputSpec>& inputs_;
  int64_t size_;
};

using Loss = std::function<std::vector<Term>(const Batch&)>;

// Whether a repeat of a phase reads new samples, or those of the first once more. Its draws are new either way.
enum class Samples : uint8_t { same, fresh };

// One loss and the networks that it trains; a step runs the phases in order, each as often as it says.
struct Phase {
  std::string name;
  std::vector<std::string> updates;  // names of networks; parameters that optimizer.groups freezes are left out
  Loss loss;
  int64_t repeats = 1;
  Samples samples = Samples::same;
  bool averaged = false;      // ema.decay keeps a moving average of what it updates
  double weight_limit = 0.0;  // > 0: what it updates is clamped to [-limit, limit]
};

// A mean over held-out samples: of one plain term.
struct Evaluator {
  std::string name;
  Loss loss;
  std::string unit = {};    // "nats"
  bool ranks_steps = true;  // lower is better: a run remembers its best step
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

// Where a sampler or an evaluator stands in for a phase in the key of a draw, so that neither repeats what a phase drew.
inline constexpr uint32_t sampling = 0xFFFFFFFFU, evaluation = 0xFFFFFFFEU;

// A program that makes rows of numbers, `columns` a row, `batch` rows a run: f32[batch, columns]. What it reads of a batch are
// held-out samples, one a row; what it draws is of the row's index.
struct RowSampler {
  std::vector<std::string> columns;
  int64_t batch = 0;
  std::function<Tensor(const Batch&)> rows;

  struct Points {  // two columns that a plot shows
    size_t x = 0, y = 1;
    std::string name;  // in its legend
  };
  std::vector<Points> points;
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
  const nn::Network& network(const std::string& network_name) const;
  const std::deque<nn::Network>& networks() const { return networks_; }

  std::vector<InputSpec> inputs;  // of a training or validation batch
  std::vector<Phase> phases;
  std::vector<Evaluator> evaluators;
  Sampler sampler;                     // of a recipe that makes text; or
  RowSampler rows;                     // of one that makes numbers
  nlohmann::json hugging_face_config;  // config.json of a checkpoint, without our keys

  int64_t num_parameters() const;

 private:
  std::string name_;
  std::deque<nn::Network> networks_;
  std::vector<std::shared_ptr<void>> modules_;
};

// ---- programs
// Whether the gradients of every phase are scaled: in f16 small ones would vanish.
bool scales_losses(const config::Config& config);
// Whether they are added as integers, so that no number of ranks changes a bit (training.numerics: invariant).
bool adds_integers(const config::Config& config);
// Every persistent tensor of a run, in file order: weights of all networks, what their optimizers keep, averages.
// Throws Error (config) if nothing of a phase is left to train, a group of the optimizer decides nothing, or an average is asked
// for that no phase keeps.
std::vector<ir::State> all_states(const Recipe& recipe, const config::Config& config);
// `for grain`: forward and loss terms; `step`: loss, gradient norm, decision, update. Outputs loss, grad_norm, commit, in f16
// loss_scale, and where gradients are added as integers fits.
ir::Graph trace_phase(const Recipe& recipe, const Phase& phase, const config::Config& config);
// Outputs "sums": f32[num_grains], the first term's sum of each grain, in grain order.
ir::Graph trace_evaluator(const Recipe& recipe, const Evaluator& evaluator, const config::Config& config);
// `step` only. Output "logits" of a batch of 1, or "rows".
ir::Graph trace_sampler(const Recipe& recipe, const config::Config& config);
ir::Graph trace_decoder(const Recipe& recipe, const config::Config& config);

}  // namespace ringmaster::models
