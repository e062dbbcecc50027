// SPDX-License-Identifier: Apache-2.0
#include "train/saved.h"

#include "checkpoint/run_folder.h"
#include "config/show.h"
#include "nn/optimizer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace ringmaster::train {
namespace {

using nlohmann::json;

constexpr const char* config_file = "config.resolved.yaml";

Error broken(const checkpoint::Loaded& loaded, std::string message) {
  return Error({.kind = ErrorKind::checkpoint,
                .message = std::move(message),
                .file = loaded.found().path.string(),
                .cure = "use a checkpoint that this program wrote for this configuration"});
}

// Where a state lies in a checkpoint. An average has the name of its parameter, so that ema.safetensors opens as a model.
struct DiskPlace {
  checkpoint::Kind kind;
  std::string name;
};

DiskPlace disk_place(const ir::State& state) {
  switch (state.role) {
    case ir::StateRole::weight: return {checkpoint::Kind::model, state.name};
    case ir::StateRole::average: {
      const size_t suffix = nn::average_name("").size();
      return {checkpoint::Kind::ema, state.name.substr(0, state.name.size() - suffix)};
    }
    default: break;
  }
  return {checkpoint::Kind::optimizer, state.name};
}

}  // namespace

json to_json(const RunState& state, uint64_t seed) {
  return {{"step", state.step},
          {"next_sample", state.next_sample},
          {"epoch", state.epoch},
          {"seed", seed},
          {"data_hash", state.data_hash},
          {"best_validation_loss", state.best_validation_loss ? json(*state.best_validation_loss) : json(nullptr)},
          {"best_step", state.best_validation_loss ? json(state.best_step) : json(nullptr)}};
}

RunState run_state(const checkpoint::Loaded& loaded) {
  try {
    const json& j = loaded.state();
    RunState state{.step = j.at("step"),
                   .next_sample = j.at("next_sample"),
                   .epoch = j.at("epoch"),
                   .data_hash = j.at("data_hash")};
    if (!j.at("best_validation_loss").is_null()) {
      state.best_validation_loss = j.at("best_validation_loss").get<double>();
      state.best_step = j.at("best_step");
    }
    if (!j.at("step").is_number_integer() || state.step != loaded.found().step || state.next_sample < 0)
      throw broken(loaded,
                   fmt::format("state.json says step {}, the manifest {}", j.at("step").dump(), loaded.found().step));
    return state;
  } catch (const json::exception&) { throw broken(loaded, "state.json does not hold the state of a run"); }
}

Path locate(const Path& from) {
  const auto refuse = [&](std::string message, std::string cure) {
    return Error({.kind = ErrorKind::checkpoint,
                  .message = std::move(message),
                  .file = from.string(),
                  .expected = "a run folder or a checkpoint folder",
                  .cure = std::move(cure)});
  };
  std::error_code ignored;
  if (!std::filesystem::exists(from, ignored))
    throw refuse("does not exist", "check the path; runs lie under runs/ by default");
  if (!std::filesystem::is_directory(from, ignored))
    throw refuse("is not a folder", "name the folder of the run or of one checkpoint");
  if (std::filesystem::exists(from / "manifest.json", ignored) || from.filename().string().starts_with("step-"))
    return from;
  if (const auto found = checkpoint::latest(from)) return found->path;
  throw refuse("holds no checkpoint", "train there first, or name another folder");
}

std::optional<Path> run_folder_of(const Path& checkpoint_folder) {
  const Path run = std::filesystem::absolute(checkpoint_folder).lexically_normal().parent_path().parent_path();
  std::error_code ignored;
  if (std::filesystem::exists(run / config_file, ignored)) return run;
  return std::nullopt;
}

config::Resolved saved_config(const checkpoint::Loaded& loaded, const std::vector<std::string>& sets) {
  const auto ours = loaded.config().find("ringmaster");
  if (ours == loaded.config().end() || !ours->is_object())
    throw broken(loaded, "config.json has no section `ringmaster`");
  json values = json::object();
  if (const auto run = run_folder_of(loaded.found().path)) {
    values = config::to_json(config::load((*run / config_file).string()).config, config::Effect::input);
  }
  values.update(*ours);
  std::vector<std::string> all = sets;
  const auto given = [&](std::string_view key) {
    return std::ranges::any_of(sets, [&](const std::string& set) { return set.starts_with(key); });
  };
  // How weights were kept says nothing to one who computes in another precision.
  if (given("precision.compute=") && !given("precision.compute=bf16") && !given("precision.master="))
    all.emplace_back("precision.master=f32");
  return config::load_json(values, (loaded.found().path / "config.json").string(), all);
}

std::string not_finite(const Session& session) {
  for (const ir::State& state : session.programs().states) {
    if (state.role != ir::StateRole::weight && state.role != ir::StateRole::average) continue;
    const checkpoint::TensorEntry tensor = session.tensor(state);
    bool finite = true;
    tensor.for_pieces([&](const void* data, int64_t bytes) {
      const auto* words = static_cast<const uint32_t*>(data);
      constexpr uint32_t exponent = 0x7f800000;  // all ones: infinite or no number
      uint32_t found = 0;
      for (int64_t i = 0; i < bytes / 4; ++i) found |= (words[i] & exponent) == exponent ? 1U : 0U;
      finite = finite && found == 0;
    });
    if (!finite) return state.name;
  }
  return "";
}

checkpoint::Content content(const Session& session, const config::Config& config, const RunState& state) {
  checkpoint::Content content{.step = state.step};
  for (const ir::State& tensor : session.programs().states) {
    if (!ir::is_saved(tensor.role)) continue;
    const DiskPlace place = disk_place(tensor);
    auto& list = place.kind == checkpoint::Kind::model ? content.model
                 : place.kind == checkpoint::Kind::ema ? content.ema
                                                       : content.optimizer;
    list.push_back(session.tensor(tensor));
    list.back().name = place.name;
  }
  content.config = session.recipe().hugging_face_config;
  content.config["ringmaster"] = config::to_json(config);
  content.state = to_json(state, config.training.seed);
  return content;
}

// An import holds weights alone: the optimizer begins at 0, averages begin as the weights.
void restore(const Session& session, const checkpoint::Loaded& loaded, WeightChoice weights) {
  const bool imported = run_state(loaded).imported();
  for (const ir::State& tensor : session.programs().states) {
    if (!ir::is_saved(tensor.role)) continue;
    if (imported && (tensor.role == ir::StateRole::optimizer || tensor.role == ir::StateRole::control)) {
      session.clear(tensor);
      continue;
    }
    const DiskPlace place = disk_place(tensor);
    const checkpoint::TensorEntry* found = nullptr;
    if (imported || (weights == WeightChoice::averaged && tensor.role == ir::StateRole::weight))
      found = loaded.find(imported ? checkpoint::Kind::model : checkpoint::Kind::ema, place.name);
    if (found == nullptr) found = loaded.find(place.kind, place.name);
    if (found == nullptr &&
        tensor.name.ends_with(nn::gradient_maxima)) {  // written before there were any: a step is done again
      session.clear(tensor);
      continue;
    }
    if (found == nullptr) throw broken(loaded, fmt::format("has no tensor {}", tensor.name));
    if (found->dtype != tensor.type.dtype || found->shape != tensor.type.shape) {
      throw broken(loaded, fmt::format("{} is {}, expected {}", tensor.name,
                                       ir::str(ir::Type{found->dtype, found->shape}), ir::str(tensor.type)));
    }
    session.write(tensor, found->data, 0, tensor.type.shape.elements());
  }
}

void check_same_run(const config::Resolved& now, const config::Config& then, config::Effect widest, const Path& from) {
  for (const config::KeyDifference& d : config::differences(then, now.config, widest)) {
    const bool steps = d.key == "training.steps";
    if (steps && now.config.training.steps > then.training.steps) continue;
    ErrorInfo info =
        config::error_at(now, d.key, fmt::format("`{}` is {}, but the run to resume has {}", d.key, d.b, d.a));
    info.found = d.b;
    info.expected = steps ? fmt::format("at least {}", d.a) : d.a;
    info.cure = fmt::format("set {} back to {}, or start anew: --run-dir with another folder (resuming from {})", d.key,
                            d.a, from.string());
    throw Error(info);
  }
}

void check_same_model(const config::Resolved& now, const config::Config& then, const Path& from) {
  constexpr std::array<std::string_view, 7> keys{"model.recipe",    "model.layers",     "model.heads",
                                                 "model.width",     "model.vocab_size", "model.tied_embeddings",
                                                 "training.seq_len"};
  for (const config::KeyDifference& d : config::differences(then, now.config, config::Effect::numbers)) {
    if (std::ranges::find(keys, d.key) == keys.end()) continue;
    ErrorInfo info =
        config::error_at(now, d.key, fmt::format("`{}` is {}, but the imported weights have {}", d.key, d.b, d.a));
    info.found = d.b;
    info.expected = d.a;
    info.cure = fmt::format("set {} to {}, as in the config.json of {}", d.key, d.a, from.string());
    throw Error(info);
  }
}

}  // namespace ringmaster::train
