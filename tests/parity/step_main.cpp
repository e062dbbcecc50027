// SPDX-License-Identifier: Apache-2.0
// parity_step: the training program of a configuration, fed by a file, with its insides written to a file. The program is the one
// that `train` runs, traced by the same recipe and put through the same passes; only outputs for the gradients are added to it.
//   parity_step CONFIG IN OUT [KEY=VALUE]...
//   IN   the weights by name; tokens, targets i32[steps,B,T], mask f32[steps,B,T]
//   OUT  logits f32[B,T,V] and grad.<weight> of the first batch before the first update; loss, grad_norm, lr f64[steps];
//        weight.<weight> after the last update
#include "checkpoint/safetensors.h"
#include "config/load.h"
#include "tests/parity/traced_run.h"
#include "train/feed.h"
#include "train/loop.h"

#include <cstdio>
#include <cstring>
#include <deque>

namespace ringmaster {
namespace {

using checkpoint::TensorEntry;

// The sampler's forward pass over the whole batch, with every position selected.
ir::Graph logits_program(const models::Recipe& recipe, const config::Config& c) {
  const int64_t T = c.training.seq_len;
  const std::vector<models::InputSpec> inputs{{"tokens", DType::i32, {T}}, {"select", DType::f32, {T, T}}};
  ir::Graph graph("logits");
  for (const ir::State& state : models::all_states(recipe, c))
    if (state.role == ir::StateRole::weight) graph.add_state(state);
  ir::Builder builder(graph);
  builder.enter_region(graph.add_region(ir::RegionKind::step));
  ops::output(recipe.sampler.logits(models::Batch(builder, inputs, c.training.global_batch_size)), "logits");
  return graph;
}

class Driver {
 public:
  Driver(const config::Config& c, const checkpoint::Safetensors& in) : config_(c), in_(in), run_(c) {
    run_.add(logits_program(run_.recipe(), c), 1);
    run_.add(with_gradients(models::trace_phase(run_.recipe(), run_.recipe().phases.front(), c)), num_grains());
    run_.bind();
    forward_ = &run_.program("logits");
    training_ = &run_.program(run_.recipe().phases.front().name);
    load_weights();
  }

  void forward() {
    const int64_t B = config_.training.global_batch_size, T = config_.training.seq_len;
    std::memcpy(forward_->input("tokens", 0), batch("tokens", 0, B), static_cast<size_t>(B * T) * 4);
    auto* select = static_cast<float*>(forward_->input("select", 0));
    for (int64_t i = 0; i < B * T * T; ++i) select[i] = i / T % T == i % T ? 1.0F : 0.0F;
    forward_->run({}, B);
    keep("logits", {B, T, config_.model.vocab_size}, forward_->output("logits"));
  }

  void steps() {
    std::vector<double> loss, norm, lr;
    for (int64_t step = 0; step < num_steps(); ++step) {
      lr.push_back(train::learning_rate(config_, step));
      run(step, lr.back());
      loss.push_back(training_->output_scalar("loss"));
      norm.push_back(training_->output_scalar("grad_norm"));
      if (step > 0) continue;
      for (const ir::State& s : run_.states())
        if (s.role == ir::StateRole::weight) keep("grad." + s.name, s.type.shape, training_->output("grad." + s.name));
    }
    keep("loss", {num_steps()}, loss);
    keep("grad_norm", {num_steps()}, norm);
    keep("lr", {num_steps()}, lr);
  }

  void write(const Path& path) {
    std::vector<TensorEntry> out = kept_;
    for (const ir::State& s : run_.states())
      if (s.role == ir::StateRole::weight)
        out.push_back({"weight." + s.name, DType::f32, s.type.shape, run_.state(s.name)});
    checkpoint::write_safetensors(path, out);
  }

 private:
  int64_t num_grains() const { return config_.training.global_batch_size / config_.training.grain_size; }
  int64_t num_steps() const { return tensor("tokens").shape.dim(0); }

  const TensorEntry& tensor(const std::string& name) const {
    const TensorEntry* found = in_.find(name);
    CHECK(found != nullptr, "the input has no tensor {}", name);
    return *found;
  }

  void load_weights() {
    for (const ir::State& s : run_.states()) {
      if (s.role != ir::StateRole::weight) continue;
      const TensorEntry& from = tensor(s.name);
      CHECK(from.dtype == DType::f32 && from.shape == s.type.shape, "{} is {}, expected {}", s.name,
            ir::str(ir::Type{from.dtype, from.shape}), ir::str(s.type));
      std::memcpy(run_.state(s.name), from.data, static_cast<size_t>(from.bytes()));
    }
  }

  // The row of sample `sample` of the input's `name`, counted over all steps; elements have 4 bytes.
  const std::byte* row(const std::string& name, int64_t sample) const {
    return static_cast<const std::byte*>(tensor(name).data) + sample * config_.training.seq_len * 4;
  }
  const std::byte* batch(const std::string& name, int64_t step, int64_t samples) const {
    CHECK(tensor(name).shape == (Shape{num_steps(), samples, config_.training.seq_len}), "{} is {}", name,
          str(tensor(name).shape));
    return row(name, step * samples);
  }

  void run(int64_t step, double lr) {
    const int64_t B = config_.training.global_batch_size, G = config_.training.grain_size;
    const auto bytes = static_cast<size_t>(G * config_.training.seq_len) * 4;
    for (int64_t grain = 0; grain < num_grains(); ++grain)
      for (const char* name : {"tokens", "targets", "mask"})
        std::memcpy(training_->input(name, grain), batch(name, step, B) + static_cast<size_t>(grain) * bytes, bytes);
    for (const std::string& weight : train::weight_inputs(training_->graph()))
      training_->set_scalar(models::Weight{weight}.scalar(),
                            static_cast<double>(train::count_entries(*training_, weight)));
    training_->set_scalar("lr", lr);
    training_->set_scalar("step", static_cast<double>(step + 1));
    run_committed(*training_, {.seed = config_.training.seed, .step = step, .first_sample = step * B}, G);
  }

  template <typename Values> void keep(const std::string& name, const Shape& shape, const Values& values) {
    using Element = std::remove_cvref_t<decltype(values[0])>;
    const auto bytes = std::as_bytes(std::span(values.data(), values.size()));
    CHECK(static_cast<int64_t>(values.size()) == shape.elements(), "{} has {} values", name, values.size());
    storage_.emplace_back(bytes.begin(), bytes.end());
    kept_.push_back({name, dtype_of<Element>::value, shape, storage_.back().data()});
  }

  config::Config config_;
  const checkpoint::Safetensors& in_;
  TracedRun run_;
  exec::Executor *forward_ = nullptr, *training_ = nullptr;
  std::deque<std::vector<std::byte>> storage_;
  std::vector<TensorEntry> kept_;
};

}  // namespace
}  // namespace ringmaster

int main(int argc, char** argv) {
  using namespace ringmaster;
  if (argc < 4) {
    std::fputs("usage: parity_step CONFIG IN OUT [KEY=VALUE]...\n", stderr);
    return 2;
  }
  try {
    const config::Resolved resolved = config::load(argv[1], {argv + 4, argv + argc});
    const checkpoint::Safetensors in(argv[2]);
    Driver driver(resolved.config, in);
    driver.forward();
    driver.steps();
    driver.write(argv[3]);
    return 0;
  } catch (const std::exception& e) {
    std::fputs(render(describe(e)).c_str(), stderr);
    return 1;
  }
}
