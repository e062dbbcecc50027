// SPDX-License-Identifier: Apache-2.0
#include "train/calibrate.h"

#include "passes/work.h"
#include "train/laps.h"
#include "train/machine.h"
#include "train/summary.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

namespace ringmaster::train {
namespace {

constexpr int64_t fewest_layers = 2;  // a first and a last one
constexpr int64_t enough_laps = 25;   // of a mode, for a median
constexpr const char* modes[] = {"none", "block"};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// One rank's share of a step, of two grains where there are more: the first sets what later ones add to.
config::Resolved reduced(config::Resolved resolved, int64_t layers, const char* mode, int threads) {
  config::Config& c = resolved.config;
  c.model.layers = layers;
  c.launch.ranks = 1;
  c.launch.threads_per_rank = threads;
  c.training.global_batch_size = std::min(c.training.global_batch_size, 2 * c.training.grain_size);
  c.activation_checkpoint = {};
  c.activation_checkpoint.mode = mode;
  return resolved;
}

// What was measured of one kind of instruction: the time of one, as a multiple of the product alone, lap by lap.
struct Kind {
  cost::Work work;
  std::vector<double> ratios;
};

class Calibrator {
 public:
  Calibrator(const config::Resolved& resolved, const CalibrateOptions& options)
      : resolved_(resolved),
        options_(options),
        comm_(comm::make_single()),
        product_(*dtype_from_name(resolved.config.precision.compute), options.threads) {}

  Calibration run() {
    layers_ = choose_layers();
    for (const char* mode : modes) {
      say(fmt::format("{} layers, mode {}", layers_, mode));
      measure(mode, begin_ + options_.seconds * (mode == modes[0] ? 0.55 : 1.0));
    }
    const double product = median(products_);
    Calibration out{.layers = layers_, .steps = steps_, .seconds = now() - begin_, .product_seconds = product};
    for (const auto& [key, kind] : kinds_) out.table.set(kind.work, product * median(kind.ratios));
    return out;
  }

 private:
  void say(const std::string& what) const {
    if (options_.progress) options_.progress(std::min(1.0, (now() - begin_) / options_.seconds), what);
  }

  // All that fit this machine and of which four steps take half of the time.
  int64_t choose_layers() {
    const int64_t all = resolved_.config.model.layers, few = std::min(all, fewest_layers);
    if (few == all || !can_have(few)) return all;
    say(fmt::format("{} layers", few));
    BenchStep bench(reduced(resolved_, few, modes[0], options_.threads), *comm_, {.warmup = 1, .costs = &estimates_});
    const double step = bench.run(1).front();
    if (6 * step > options_.seconds) fewest_laps_ = 1;
    const double in_time = 0.5 * options_.seconds / (4 * step / static_cast<double>(few));
    int64_t layers = std::clamp(static_cast<int64_t>(in_time), few, all);
    while (layers > few && (!can_have(layers) || !fits(layers))) layers = std::max(few, layers / 2);
    return layers;
  }
  // A group of the optimizer may name a layer that would be gone.
  bool can_have(int64_t layers) const {
    try {
      check_recipe(reduced(resolved_, layers, modes[0], options_.threads));
      return true;
    } catch (const Error&) { return false; }
  }
  bool fits(int64_t layers) const {
    const Programs programs = compile(reduced(resolved_, layers, modes[0], options_.threads).config,
                                      {.train = true, .threads = options_.threads});
    const MemoryLimit limit = memory_limit(1);
    return limit.bytes == 0 || process_bytes(programs.peak_bytes(), 1) <= limit.bytes / 2;
  }

  void measure(const char* mode, double end) {
    BenchStep bench(reduced(resolved_, layers_, mode, options_.threads), *comm_, {.warmup = 1, .costs = &estimates_});
    Laps laps(bench, product_);
    for (const auto& executor : bench.session().executors()) executor->reset_profile();
    double longest = 0;
    for (int64_t lap = 0; lap < fewest_laps_ || (lap < enough_laps && now() + longest < end); ++lap) {
      const double start = now();
      take(bench, laps.run());
      longest = std::max(longest, now() - start);
      say(fmt::format("{} layers, mode {}, {} steps", layers_, mode, steps_));
    }
  }

  // What the instructions took in the lap that has just been run.
  void take(const BenchStep& bench, const Lap& lap) {
    std::map<std::string, std::pair<double, int64_t>> sums;  // seconds and runs, by key
    for (const auto& executor : bench.session().executors()) {
      for (const exec::ProfileRow& row : executor->profile()) {
        if (row.runs == 0 || !passes::takes_time(executor->graph(), *row.node)) continue;
        const cost::Work work = passes::work_of(executor->graph(), *row.node);
        kinds_.try_emplace(work.key, Kind{work, {}});
        auto& [seconds, runs] = sums[work.key];
        seconds += row.seconds;
        runs += row.runs;
      }
      executor->reset_profile();
    }
    for (const auto& [key, sum] : sums)
      kinds_.at(key).ratios.push_back(sum.first / static_cast<double>(sum.second) / lap.product);
    steps_ += lap.steps;
    products_.push_back(lap.product);
  }

  const config::Resolved& resolved_;
  const CalibrateOptions& options_;
  std::unique_ptr<comm::Communicator> comm_;
  ProductAlone product_;
  cost::Table estimates_;  // empty: no mode that is measured needs more
  double begin_ = now();
  int64_t layers_ = 0, steps_ = 0, fewest_laps_ = 2;
  std::vector<double> products_;       // seconds of one, by lap
  std::map<std::string, Kind> kinds_;  // by key
};

}  // namespace

Calibration calibrate(const config::Resolved& resolved, const CalibrateOptions& options) {
  return Calibrator(resolved, options).run();
}

}  // namespace ringmaster::train
