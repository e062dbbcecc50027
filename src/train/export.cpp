// SPDX-License-Identifier: Apache-2.0
// export: a checkpoint's weights as a folder or a file of their own, complete or not at all.
#include "checkpoint/pretrained.h"
#include "core/error.h"
#include "train/pretrained.h"
#include "train/saved.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace ringmaster::train {
namespace {

using checkpoint::TensorEntry;
using nlohmann::json;

constexpr const char* end_of_text = "<|endoftext|>";

Error usage(const Path& path, const char* key, std::string message, std::string expected, std::string cure) {
  return Error({.kind = ErrorKind::usage,
                .message = std::move(message),
                .file = path.string(),
                .key = key,
                .expected = std::move(expected),
                .cure = std::move(cure)});
}

// A stranger's file inside a checkpoint would make it a damaged one.
void check_out(const Path& out) {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(out, ignored)))
    throw usage(out, "OUT", "exists", "a path that does not exist yet", "name another, or remove it");
  const Path parent = out.parent_path();
  if (!std::filesystem::is_directory(parent, ignored))
    throw usage(out, "OUT", "lies in no folder that exists", "a path in a folder that exists",
                fmt::format("mkdir -p {}", parent.string()));
  for (Path folder = std::filesystem::canonical(parent); folder.has_relative_path(); folder = folder.parent_path()) {
    const bool checkpoints =
        folder.filename() == "checkpoint" && std::filesystem::exists(folder.parent_path() / "ringmaster.run");
    if (checkpoints || std::filesystem::exists(folder / "manifest.json"))
      throw usage(out, "OUT", fmt::format("lies inside {}, which holds checkpoints", folder.string()),
                  "a path outside of checkpoints", "name a path elsewhere");
  }
}

// A folder that is called like a file is hardly meant.
void check_ending(const Path& out) {
  constexpr std::string_view files[] = {".bin", ".pt",  ".pth", ".ckpt", ".safetensor", ".st",
                                        ".h5",  ".npz", ".npy", ".gguf", ".onnx",       ".msgpack"};
  std::string ending = out.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (std::ranges::find(files, ending) == std::end(files) && (ending != ".safetensors" || ending == out.extension()))
    return;
  throw usage(out, "OUT", fmt::format("ends in {}, which is not written", out.extension().string()),
              "a file that ends in .safetensors, or a folder",
              fmt::format("name {}, or a folder for from_pretrained without such an ending",
                          out.stem().string() + ".safetensors"));
}

// What is written under another name until it is complete.
class Pending {
 public:
  explicit Pending(const Path& out)
      : out_(out), path_(out.parent_path() / fmt::format(".{}.tmp-{}", out.filename().string(), ::getpid())) {}
  ~Pending() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  const Path& path() const { return path_; }
  void publish() const {
    const bool done = ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, out_.c_str(), RENAME_NOREPLACE) == 0 ||
                      // some network file systems know no flags
                      (errno == EINVAL && !std::filesystem::exists(out_) && ::rename(path_.c_str(), out_.c_str()) == 0);
    if (!done) throw errno_error("cannot rename what is finished into place", out_);
    sync_folder(out_.parent_path());
  }

 private:
  Path out_, path_;
};

// The averaged weights where the checkpoint has them, as `sample` takes them, else those under training.
class Weights {
 public:
  Weights(const checkpoint::Loaded& loaded, DType dtype) : averaged_(!loaded.tensors(checkpoint::Kind::ema).empty()) {
    for (const TensorEntry& trained : loaded.tensors(checkpoint::Kind::model)) {
      const TensorEntry* average = loaded.find(checkpoint::Kind::ema, trained.name);
      const TensorEntry& tensor = average != nullptr ? *average : trained;
      if (tensor.dtype == dtype || !checkpoint::is_convertible(tensor.dtype)) {
        tensors_.push_back(tensor);
        continue;
      }
      storage_.push_back(checkpoint::converted(tensor, dtype));
      tensors_.push_back({tensor.name, dtype, tensor.shape, storage_.back().data()});
      if (dtype == DType::f16 && tensor.dtype == DType::f32) check_range(tensor, tensors_.back());
    }
  }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  bool averaged() const { return averaged_; }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const TensorEntry& tensor : tensors_) sum += tensor.bytes();
    return sum;
  }

 private:
  static void check_range(const TensorEntry& from, const TensorEntry& to) {
    const auto* before = static_cast<const float*>(from.data);
    const auto* after = static_cast<const f16*>(to.data);
    for (int64_t i = 0; i < from.shape.elements(); ++i) {
      if (!std::isfinite(before[i]) || std::isfinite(to_float(after[i]))) continue;
      throw Error({.kind = ErrorKind::usage,
                   .message = fmt::format("{} holds {}, which is beyond f16", from.name, before[i]),
                   .key = "--dtype",
                   .found = fmt::format("{}", before[i]),
                   .expected = "magnitudes of at most 65504",
                   .cure = "take --dtype bf16 or f32"});
    }
  }
  bool averaged_;
  std::vector<TensorEntry> tensors_;
  std::deque<std::vector<std::byte>> storage_;
};

std::optional<Path> first_of(const Path& folder, std::initializer_list<const char*> names) {
  std::error_code ignored;
  for (const char* name : names)
    if (std::filesystem::exists(folder / name, ignored)) return folder / name;
  return std::nullopt;
}

// GPT-2's two files under the names that transformers looks for, and which class reads them.
class Tokenizer {
 public:
  static std::optional<Tokenizer> find(const Path& folder) {
    const auto vocabulary = first_of(folder, {"encoder.json", "vocab.json"}),
               merges = first_of(folder, {"vocab.bpe", "merges.txt"});
    if (!vocabulary || !merges) return std::nullopt;
    return Tokenizer(read_file(*vocabulary), read_file(*merges));
  }

  // The token that ends a text is the model's end of text, too.
  void complete(json& config) const { config["bos_token_id"] = config["eos_token_id"] = end_; }
  void write(const Path& folder, const json& config) const {
    const json token = end_.is_null() ? json() : json(end_of_text);
    const json about{{"tokenizer_class", "GPT2Tokenizer"},
                     {"model_max_length", config.value("n_positions", json())},
                     {"bos_token", token},
                     {"eos_token", token},
                     {"unk_token", token}};
    write_file_atomic(folder / "vocab.json", vocabulary_);
    write_file_atomic(folder / "merges.txt", merges_);
    write_file_atomic(folder / "tokenizer_config.json", about.dump(2) + "\n");
  }

 private:
  Tokenizer(std::string vocabulary, std::string merges)
      : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)) {
    const json ids = json::parse(vocabulary_, nullptr, false);
    if (ids.is_object()) end_ = ids.value(end_of_text, json());
  }
  std::string vocabulary_, merges_;
  json end_;
};

std::optional<Tokenizer> tokenizer_of(const checkpoint::Loaded& loaded, const ExportOptions& options, Exported& done) {
  const config::Config c = saved_config(loaded, {}).config;
  const bool asked = !options.tokenizer_dir.empty();
  if (!asked && c.data.tokenizer != "gpt2") return std::nullopt;
  const Path folder = asked ? options.tokenizer_dir : Path(c.data.tokenizer_dir);
  auto tokenizer = folder.empty() ? std::nullopt : Tokenizer::find(folder);
  if (!tokenizer && asked)
    throw usage(folder, "--tokenizer-dir", "holds no tokenizer",
                "a folder with encoder.json and vocab.bpe, or vocab.json and merges.txt",
                "name the folder of the two files");
  if (tokenizer)
    done.tokenizer = folder.string();
  else
    done.warning = "without GPT-2's tokenizer: its folder is not known or not there; --tokenizer-dir DIR names it";
  return tokenizer;
}

void write_folder(const Path& folder, json config, const Weights& weights, const std::optional<Tokenizer>& tokenizer) {
  make_folders(folder);
  config.erase("ringmaster");  // a model's file, not a run's
  if (tokenizer) {
    tokenizer->complete(config);
    tokenizer->write(folder, config);
  }
  write_file_atomic(folder / "config.json", config.dump(2) + "\n");
  checkpoint::write_safetensors(folder / "model.safetensors", weights.tensors());
  sync_folder(folder);
}

}  // namespace

Exported export_pretrained(const ExportOptions& options) {
  Path out = std::filesystem::absolute(options.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  check_out(out);
  check_ending(out);
  const bool is_file = out.extension() == ".safetensors";
  if (is_file && !options.tokenizer_dir.empty())
    throw usage(options.tokenizer_dir, "--tokenizer-dir", "is given but would be ignored",
                "--tokenizer-dir only where OUT is a folder",
                "leave it out, or name an OUT that does not end in .safetensors");
  const checkpoint::Loaded loaded = checkpoint::open(locate(options.from));
  const Weights weights(loaded, options.dtype);
  if (!is_file && !loaded.config().contains("model_type"))
    throw usage(out.string(), "OUT", "is a folder for from_pretrained, which knows no model of this recipe",
                "an OUT that ends in .safetensors", "name such a file: the weights alone");
  Exported done{.step = loaded.found().step,
                .tensors = static_cast<int64_t>(weights.tensors().size()),
                .bytes = weights.bytes(),
                .averaged = weights.averaged()};
  const Pending pending(out);
  if (is_file)
    checkpoint::write_safetensors(pending.path(), weights.tensors());
  else
    write_folder(pending.path(), loaded.config(), weights, tokenizer_of(loaded, options, done));
  pending.publish();
  return done;
}

}  // namespace ringmaster::train
