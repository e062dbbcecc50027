// SPDX-License-Identifier: Apache-2.0
// parity_gan: the two phases of wgan_gp as `train` runs them, with everything that another program needs to repeat them.
//   parity_gan CONFIG OUT [KEY=VALUE]...
//   OUT  initial.<weight>; x f32[steps,K,B,2], critic.z f32[steps,K,B,Z], mix f32[steps,K,B,1], generator.z f32[steps,B,Z];
//        loss.critic f64[steps,K], loss.generator f64[steps]; grad.<weight> of the first run of each phase; final.<weight>
#include "checkpoint/safetensors.h"
#include "config/load.h"
#include "data/points.h"
#include "tests/parity/traced_run.h"
#include "train/feed.h"

#include <cstdio>
#include <map>

namespace ringmaster {
namespace {

constexpr const char *critic = "critic", *generator = "generator", *draws = "draws";

// What the phases draw, once more: a draw is a function of its stream and of where the run stands.
ir::Graph draws_program(const models::Recipe& recipe, const config::Config& c) {
  ir::Graph graph(draws);
  ir::Builder builder(graph);
  builder.enter_region(graph.add_region(ir::RegionKind::step));
  const models::Batch batch(builder, recipe.inputs, c.training.global_batch_size);
  ops::output(batch.normal("z", {c.model.latent}), "z");
  ops::output(batch.uniform("mix", {1}), "mix");
  return graph;
}

class Driver {
 public:
  explicit Driver(const config::Config& c)
      : c_(c),
        run_(c),
        grains_(c.training.global_batch_size / c.training.grain_size),
        points_(c.data, c.training.seed) {
    for (const models::Phase& phase : run_.recipe().phases)
      run_.add(with_gradients(models::trace_phase(run_.recipe(), phase, c)), grains_);
    run_.add(draws_program(run_.recipe(), c), 1);
    run_.bind();
    for (const nn::Network& network : run_.recipe().networks())
      for (const nn::Parameter& p : network.parameters())
        nn::initialise(p, c.training.seed, 0, {run_.state(p.name), static_cast<size_t>(p.shape.elements())});
    keep_weights("initial.");
  }

  void steps() {
    const int64_t B = c_.training.global_batch_size, K = c_.model.critic_steps, S = K * B;
    for (int64_t step = 0; step < c_.training.steps; ++step) {
      for (int64_t repeat = 0; repeat < K; ++repeat)
        run(critic, {.step = step, .repeat = static_cast<uint32_t>(repeat), .first_sample = step * S + repeat * B}, K);
      run(generator, {.step = step, .phase = 1, .first_sample = step * S + S}, 1);
    }
    keep_weights("final.");
  }

  void write(const Path& path) {
    const int64_t N = c_.training.steps, K = c_.model.critic_steps, B = c_.training.global_batch_size;
    const std::map<std::string, Shape> shapes{{"x", {N, K, B, 2}},
                                              {"critic.z", {N, K, B, c_.model.latent}},
                                              {"mix", {N, K, B, 1}},
                                              {"generator.z", {N, B, c_.model.latent}}};
    std::vector<checkpoint::TensorEntry> out;
    for (const auto& [name, values] : kept_) {
      const auto known = shapes.find(name);
      const Shape shape = known != shapes.end() ? known->second : shape_of(name, values.size());
      CHECK(shape.elements() == static_cast<int64_t>(values.size()), "{} has {} values", name, values.size());
      out.push_back({name, DType::f32, shape, values.data()});
    }
    for (const auto& [name, values] : losses_)
      out.push_back({name, DType::f64, Shape{static_cast<int64_t>(values.size())}, values.data()});
    checkpoint::write_safetensors(path, out);
  }

 private:
  void run(const char* phase, ir::RunContext context, int64_t repeats) {
    const int64_t G = c_.training.grain_size, B = c_.training.global_batch_size;
    context.seed = c_.training.seed;
    run_.program(draws).run(context, B);
    keep(std::string(phase) + ".z", run_.program(draws).output("z"));
    exec::Executor& program = run_.program(phase);
    if (phase == critic) {
      keep("mix", run_.program(draws).output("mix"));
      std::vector<float> x(static_cast<size_t>(2 * B));
      points_.fill(context.first_sample, B,
                   data::BatchMemory([&](std::string_view name) -> void* { return name == "x" ? x.data() : nullptr; }));
      keep("x", x);
      for (int64_t g = 0; g < grains_; ++g)
        points_.fill(context.first_sample + g * G, G, train::batch_memory(program, g));
    }
    program.set_scalar(models::Weight{}.scalar(), static_cast<double>(B));
    program.set_scalar("lr", c_.optimizer.lr);
    program.set_scalar("step", static_cast<double>(context.step * repeats + context.repeat + 1));
    run_committed(program, context, G);
    losses_[std::string("loss.") + phase].push_back(program.output_scalar("loss"));
    if (context.step > 0 || context.repeat > 0) return;
    for (const nn::Parameter& p : run_.recipe().network(phase).parameters())
      keep("grad." + p.name, program.output("grad." + p.name));
  }

  template <typename Values> void keep(const std::string& name, const Values& values) {
    kept_[name].insert(kept_[name].end(), values.begin(), values.end());
  }
  void keep_weights(const std::string& prefix) {
    for (const nn::Network& network : run_.recipe().networks())
      for (const nn::Parameter& p : network.parameters())
        keep(prefix + p.name, std::span<const float>(run_.state(p.name), static_cast<size_t>(p.shape.elements())));
  }
  Shape shape_of(const std::string& name, size_t size) const {
    for (const nn::Network& network : run_.recipe().networks())
      for (const nn::Parameter& p : network.parameters())
        if (name.ends_with("." + p.name)) return p.shape;
    return {static_cast<int64_t>(size)};
  }

  const config::Config& c_;
  TracedRun run_;
  int64_t grains_;
  data::TrainingPoints points_;
  std::map<std::string, std::vector<float>> kept_;
  std::map<std::string, std::vector<double>> losses_;
};

}  // namespace
}  // namespace ringmaster

int main(int argc, char** argv) {
  using namespace ringmaster;
  if (argc < 3) {
    std::fputs("usage: parity_gan CONFIG OUT [KEY=VALUE]...\n", stderr);
    return 2;
  }
  try {
    const config::Resolved resolved = config::load(argv[1], {argv + 3, argv + argc});
    Driver driver(resolved.config);
    driver.steps();
    driver.write(argv[2]);
    return 0;
  } catch (const std::exception& e) {
    std::fputs(render(describe(e)).c_str(), stderr);
    return 1;
  }
}
