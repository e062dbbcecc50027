// SPDX-License-Identifier: Apache-2.0
#include "train/advice.h"

#include "train/frontier.h"
#include "train/machine.h"
#include "train/recompute_report.h"
#include "train/terminal.h"

#include <nlohmann/json.hpp>

#include <optional>

namespace ringmaster::train {
namespace {

// A change that takes memory away; nothing where the configuration has it already or can not have it.
struct Change {
  const char* key;
  std::optional<std::string> (*make)(config::Config&);
};

std::optional<std::string> smaller_grain(config::Config& c) {
  int64_t grain = c.training.grain_size - 1;
  while (grain > 0 && c.training.global_batch_size % grain != 0) --grain;
  if (grain < 1) return std::nullopt;
  c.training.grain_size = grain;
  return std::to_string(grain);
}
std::optional<std::string> narrow_products(config::Config& c) {
  if (c.precision.compute != "f32") return std::nullopt;
  return c.precision.compute = "bf16";
}
std::optional<std::string> split_masters(config::Config& c) {
  if (c.precision.compute != "bf16" || c.precision.master == "split") return std::nullopt;
  return c.precision.master = "split";
}
std::optional<std::string> narrow_moments(config::Config& c) {
  if (c.optimizer.state != "f32") return std::nullopt;
  return c.optimizer.state = "bf16_stochastic";
}

constexpr Change changes[] = {{"training.grain_size", smaller_grain},
                              {"precision.compute", narrow_products},
                              {"precision.master", split_masters},
                              {"optimizer.state", narrow_moments}};

class Adviser {
 public:
  Adviser(const ProgramOptions& options, const Grant& grant, const cost::Table& costs)
      : options_(options), grant_(grant), costs_(costs) {}

  // The configuration with as much saved as fits.
  std::optional<Advice> try_out(const config::Config& config, const std::vector<std::string>& set) const {
    try {
      return advice_of(config, set);
    } catch (const Error& e) {
      // The configuration cannot have the change: a group of its optimizer may name a layer that is gone.
      if (e.info().kind == ErrorKind::config || e.info().kind == ErrorKind::memory) return std::nullopt;
      throw;
    }
  }

  // The change, and where it can be made again (a smaller grain) the first time that it suffices.
  std::optional<Advice> try_change(config::Config config, const Change& change,
                                   const std::vector<std::string>& others = {}) const {
    while (const auto value = change.make(config)) {
      std::vector<std::string> set{fmt::format("{}={}", change.key, *value)};
      set.insert(set.end(), others.begin(), others.end());
      if (const auto found = try_out(config, set)) return found;
    }
    return std::nullopt;
  }

  // One more of them after the other until they suffice, or all of them and as many layers as do; then without those that the
  // others do not need, then with the largest grain that still does.
  std::optional<Advice> try_together(config::Config config) const {
    Chosen chosen;
    std::optional<Advice> found;
    for (const Change& change : changes) {
      chosen.changes.push_back(&change);
      if (found = try_all_of(config, chosen); found) break;
    }
    if (!found) found = try_fewer_layers(config, chosen);
    if (!found) return std::nullopt;
    for (size_t i = 0; i < chosen.changes.size();) {
      Chosen fewer = chosen;
      fewer.changes.erase(fewer.changes.begin() + static_cast<std::ptrdiff_t>(i));
      if (auto without = try_all_of(config, fewer)) {
        found = std::move(without);
        chosen = fewer;
      } else {
        ++i;
      }
    }
    if (!chosen.changes.empty() && chosen.changes.front()->make == smaller_grain) {
      chosen.changes.erase(chosen.changes.begin());
      const std::vector<std::string> others = make_all(config, chosen);
      if (auto larger = try_change(config, changes[0], others)) found = std::move(larger);
    }
    found->smaller_model = !chosen.layers.empty();
    return found;
  }

 private:
  struct Chosen {
    std::vector<const Change*> changes;
    std::string layers;  // "model.layers=7" where the model is smaller; the configuration has as many then
  };
  // Each as far as it goes; what was set.
  static std::vector<std::string> make_all(config::Config& config, const Chosen& chosen) {
    std::vector<std::string> set;
    for (const Change* change : chosen.changes) {
      std::optional<std::string> last;
      while (const auto value = change->make(config)) last = value;
      if (last) set.push_back(fmt::format("{}={}", change->key, *last));
    }
    if (!chosen.layers.empty()) set.push_back(chosen.layers);
    return set;
  }
  std::optional<Advice> try_all_of(config::Config config, const Chosen& chosen) const {
    const std::vector<std::string> set = make_all(config, chosen);
    return try_out(config, set);
  }
  // Leaves as many layers as fit in the configuration.
  std::optional<Advice> try_fewer_layers(config::Config& config, Chosen& chosen) const {
    std::optional<Advice> best;
    int64_t fits = 0, fails = config.model.layers;
    while (fails - fits > 1) {
      config.model.layers = fits + (fails - fits) / 2;
      Chosen fewer = chosen;
      fewer.layers = fmt::format("model.layers={}", config.model.layers);
      if (auto found = try_all_of(config, fewer)) {
        best = std::move(found);
        fits = config.model.layers;
        chosen.layers = fewer.layers;
      } else {
        fails = config.model.layers;
      }
    }
    config.model.layers = fits;
    return best;
  }
  std::optional<Advice> advice_of(const config::Config& config, std::vector<std::string> set) const {
    Frontier frontier(config, options_, costs_);
    const int64_t beside = frontier.beside_arena(grant_.per_process);
    if (frontier.state_bytes() > grant_.bytes - beside) return std::nullopt;
    const auto point = frontier.within(grant_.bytes - beside);
    if (!point) return std::nullopt;
    const bool changes_bits = !set.empty();
    Advice advice{.set = std::move(set),
                  .peak_bytes = point->peak_bytes,
                  .rank_bytes = point->peak_bytes + beside,
                  .step_seconds = point->step_seconds,
                  .changes_bits = changes_bits};
    if (point->budget_bytes < frontier.none()) {
      advice.set.emplace_back("activation_checkpoint.mode=budget");
      advice.set.push_back(fmt::format("activation_checkpoint.budget={}", point->budget_bytes));
    }
    return advice;
  }

  const ProgramOptions& options_;
  Grant grant_;
  const cost::Table& costs_;
};

}  // namespace

std::vector<Advice> advise(const config::Config& config, const ProgramOptions& options, const Grant& grant,
                           const cost::Table& costs) {
  const Adviser adviser(options, grant, costs);
  if (auto found = adviser.try_out(config, {})) return {*found};
  std::vector<Advice> out;
  for (const Change& change : changes)
    if (auto found = adviser.try_change(config, change)) out.push_back(*found);
  if (out.empty())
    if (auto found = adviser.try_together(config)) out.push_back(*found);
  return out;
}

nlohmann::json to_json(const std::vector<Advice>& advice) {
  nlohmann::json out = nlohmann::json::array();
  for (const Advice& a : advice)
    out.push_back({{"set", a.set}, {"peak_bytes", a.peak_bytes}, {"predicted_step_seconds", a.step_seconds}});
  return out;
}

namespace {

// For a shell, in lines of a hundred columns or so.
std::string flags_of(const Advice& a, int indent) {
  std::string flags;
  size_t begin = 0;  // of the line
  for (const std::string& set : a.set) {
    if (flags.size() - begin + set.size() > 90) {
      flags += fmt::format(" \\\n{:{}}", "", indent - 1);
      begin = flags.size();
    }
    flags += fmt::format("{}--set {}", flags.empty() ? "" : " ", set);
  }
  return flags;
}
std::string what_it_does(const Advice& a) {
  return fmt::format("{} a rank, about {} a step; {}", bytes_text(a.rank_bytes), short_seconds(a.step_seconds),
                     a.smaller_model  ? "a smaller model"
                     : a.changes_bits ? "other bits than now"
                                      : "the same bits");
}

}  // namespace

std::string to_text(const std::vector<Advice>& advice) {
  std::string out;
  for (const Advice& a : advice)
    out += fmt::format("{:<15}{}\n{:<17}{}\n", out.empty() ? "would fit" : "or", flags_of(a, 15), "", what_it_does(a));
  return out;
}

std::string as_cure(const std::vector<Advice>& advice) {
  std::string out;
  for (const Advice& a : advice)
    out +=
        fmt::format("{}{}\n    ({})", out.empty() ? "it fits with " : "\n  or with ", flags_of(a, 6), what_it_does(a));
  return out;
}

}  // namespace ringmaster::train
