// SPDX-License-Identifier: Apache-2.0
// import: every weight of the recipe is looked for in the folder, under its own name or without the leading "transformer.";
// what is left over afterwards is an error, but for the buffers of masks that old versions saved.
#include "checkpoint/pretrained.h"
#include "checkpoint/run_folder.h"
#include "checkpoint/store.h"
#include "config/show.h"
#include "core/program.h"
#include "models/gpt2_config.h"
#include "train/machine.h"
#include "train/pretrained.h"
#include "train/saved.h"
#include "train/train.h"

#include <cstring>
#include <deque>
#include <set>

namespace ringmaster::train {
namespace {

using checkpoint::TensorEntry;
using nlohmann::json;

constexpr std::string_view prefix = "transformer.";
constexpr std::string_view head = "lm_head.weight";
constexpr const char* token_table = "transformer.wte.weight";
constexpr const char* cure_for_weights =
    "check that config.json and the weights are of one model, a GPT-2 with a language-model head";

Error refuse(const Path& file, std::string message, std::string found, std::string expected, std::string cure) {
  return Error({.kind = ErrorKind::checkpoint,
                .message = std::move(message),
                .file = file.string(),
                .found = std::move(found),
                .expected = std::move(expected),
                .cure = std::move(cure)});
}

// Causal masks that old versions of transformers saved among the weights.
bool is_mask(std::string_view name) { return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"); }

class Weights {
 public:
  explicit Weights(const checkpoint::Pretrained& folder) : folder_(folder) {
    for (const auto& [name, tensor] : folder.tensors())
      if (!is_mask(name)) left_.insert(name);
  }

  TensorEntry take(const std::string& name, const Shape& shape) {
    const TensorEntry& found = find(name);
    const Path& file = folder_.file_of(found.name);
    if (found.shape != shape)
      throw refuse(file, fmt::format("{} is {}, expected {}", found.name, str(found.shape), str(shape)),
                   str(found.shape), str(shape), cure_for_weights);
    if (!checkpoint::is_convertible(found.dtype))
      throw refuse(file, fmt::format("{} is {}, expected f32, bf16 or f16", found.name, ringmaster::name(found.dtype)),
                   std::string(ringmaster::name(found.dtype)), "f32, bf16 or f16",
                   "save it again in one of these types");
    left_.erase(found.name);
    if (found.dtype == DType::f32) return {name, DType::f32, shape, found.data};
    storage_.push_back(checkpoint::converted(found, DType::f32));
    return {name, DType::f32, shape, storage_.back().data()};
  }

  // A tied head may stand in the file all the same; then it must be the table of tokens.
  void take_tied_head() {
    if (!left_.contains(head)) return;
    const TensorEntry &own = folder_.tensors().find(head)->second, &table = find(token_table);
    if (own.dtype != table.dtype || own.shape != table.shape ||
        std::memcmp(own.data, table.data, static_cast<size_t>(own.bytes())) != 0)
      throw refuse(folder_.file_of(own.name),
                   fmt::format("{} is not {}, though tie_word_embeddings is true", head, table.name), "two tables",
                   "one table of tokens", "set tie_word_embeddings to false in config.json");
    left_.erase(own.name);
  }

  void check_nothing_left() const {
    if (left_.empty()) return;
    const std::string& name = *left_.begin();
    throw refuse(folder_.file_of(name), fmt::format("{} is no weight of this model", name),
                 fmt::format("{} such tensor{}", left_.size(), left_.size() == 1 ? "" : "s"),
                 "the weights of a GPT-2 and no others", cure_for_weights);
  }

 private:
  const TensorEntry& find(const std::string& name) const {
    const std::string bare = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
    const auto& tensors = folder_.tensors();
    const auto full = tensors.find(name), other = tensors.find(bare);
    if (full == tensors.end() && other == tensors.end())
      throw refuse(folder_.folder(), fmt::format("has no tensor {}", name), "", fmt::format("{} or {}", name, bare),
                   cure_for_weights);
    return full != tensors.end() ? full->second : other->second;
  }

  const checkpoint::Pretrained& folder_;
  std::set<std::string, std::less<>> left_;
  std::deque<std::vector<std::byte>> storage_;
};

config::Config config_of(const checkpoint::Pretrained& folder) {
  constexpr int64_t bytes = 256, gpt2 = 50257;
  const std::string file = folder.config_file().string();
  json keys = models::from_gpt2_config(folder.config(), file);
  const auto vocab_size = keys["model.vocab_size"].get<int64_t>();
  std::error_code ignored;
  const bool has_merges = std::filesystem::exists(folder.folder() / "merges.txt", ignored);
  if (has_merges || vocab_size >= gpt2)
    keys["data.tokenizer"] = "gpt2";
  else if (vocab_size < bytes)
    keys["data.format"] = "uint16";  // no text has so few kinds of bytes
  return config::load_json(keys, file).config;
}

void refuse_old_run(const Path& run) {
  checkpoint::RunFolder::check(run);
  std::error_code ignored;
  if (!std::filesystem::exists(run, ignored) || std::filesystem::is_empty(run, ignored)) return;
  throw Error({.kind = ErrorKind::config,
               .message = "is the folder of another run",
               .file = run.string(),
               .key = "OUT",
               .expected = "a folder that does not exist, or is empty",
               .cure = "import into a folder of its own, or remove this one"});
}

void refuse_a_run(const Path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / "ringmaster.run", ignored)) return;
  const std::string name = folder.string();
  const std::string& program = program_name();
  throw Error(
      {.kind = ErrorKind::usage,
       .message = "is a run folder of ringmaster already: there is nothing to import",
       .file = name,
       .key = "DIR",
       .found = "ringmaster.run",
       .expected = "a folder with config.json and model.safetensors, such as transformers writes",
       .cure = fmt::format("use it as it is: `{} sample {}`, or `{} train CONFIG --run-dir {}` to go on from it",
                           program, name, program, name)});
}

}  // namespace

Imported import_pretrained(const Path& folder, const Path& run) {
  refuse_a_run(folder);
  const checkpoint::Pretrained pretrained(folder);
  const config::Config c = config_of(pretrained);
  const auto recipe = make_recipe(c);
  Weights weights(pretrained);
  checkpoint::Content content;
  for (const ir::State& state : models::all_states(*recipe, c))
    if (state.role == ir::StateRole::weight) content.model.push_back(weights.take(state.name, state.type.shape));
  if (c.model.tied_embeddings) weights.take_tied_head();
  weights.check_nothing_left();
  content.config = recipe->hugging_face_config;
  content.config["ringmaster"] = config::to_json(c);
  content.state = to_json(RunState{}, c.training.seed);
  content.provenance = {{"version", version()}, {"cpu", cpu_name()}, {"isa", isa()}, {"host", host_name()}};

  refuse_old_run(run);
  std::error_code ignored;
  const bool is_new = !std::filesystem::exists(run, ignored);
  const auto claimed = checkpoint::RunFolder::claim(run, version());
  try {
    const checkpoint::Committed done = checkpoint::commit(run, content);
    return {.checkpoint = done.path,
            .tensors = static_cast<int64_t>(content.model.size()),
            .parameters = recipe->num_parameters(),
            .params_hash = done.params_hash};
  } catch (...) {  // the folder was empty, or was not there
    for (const std::string& name : list_folder(run)) std::filesystem::remove_all(run / name, ignored);
    if (is_new) std::filesystem::remove(run, ignored);
    throw;
  }
}

}  // namespace ringmaster::train
