// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/pretrained.h"

#include "checkpoint/json.h"
#include "core/error.h"

#include <cstring>
#include <set>

namespace ringmaster::checkpoint {
namespace {

using nlohmann::json;

constexpr const char* single_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";

Error refuse(const Path& file, std::string message, std::string expected, std::string cure) {
  return Error({.kind = ErrorKind::checkpoint,
                .message = std::move(message),
                .file = file.string(),
                .expected = std::move(expected),
                .cure = std::move(cure)});
}

constexpr const char* save_again = "save it again: model.save_pretrained(FOLDER) of transformers writes such a folder";

json read_json(const Path& path) {
  return parse_strict(read_file(path, {.kind = ErrorKind::checkpoint}), path.string());
}

float load(DType dtype, const std::byte* at) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == DType::bf16 ? to_float(bf16{bits}) : to_float(f16{bits});
}

void store(DType dtype, float value, std::byte* at) {
  if (dtype == DType::f32) {
    std::memcpy(at, &value, sizeof value);
    return;
  }
  const uint16_t bits = dtype == DType::bf16 ? to_bf16(value).bits : to_f16(value).bits;
  std::memcpy(at, &bits, sizeof bits);
}

}  // namespace

Pretrained::Pretrained(const Path& folder) : folder_(folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder, ignored))
    throw refuse(folder, "does not exist", "a folder with config.json and model.safetensors",
                 "nothing is downloaded: fetch the folder first, with git or the hub's own program");
  if (!std::filesystem::is_directory(folder, ignored))
    throw refuse(folder, "is not a folder", "a folder with config.json and model.safetensors",
                 "name the folder itself");
  if (!std::filesystem::exists(config_file(), ignored))
    throw refuse(folder, "holds no config.json", "a folder with config.json and model.safetensors", save_again);
  config_ = read_json(config_file());
  if (std::filesystem::exists(folder / single_file, ignored)) {
    add_file(folder / single_file);
  } else if (std::filesystem::exists(folder / index_file, ignored)) {
    add_shards(folder / index_file);
  } else {
    const bool pickled = std::filesystem::exists(folder / "pytorch_model.bin", ignored);
    throw refuse(folder,
                 pickled ? "holds pytorch_model.bin, which is not read" : fmt::format("holds no {}", single_file),
                 fmt::format("{} or {}", single_file, index_file), save_again);
  }
}

void Pretrained::add_file(const Path& path) {
  files_.emplace_back(path);
  for (const TensorEntry& tensor : files_.back().tensors()) {
    if (!tensors_.emplace(tensor.name, tensor).second)
      throw refuse(path, fmt::format("{} stands in {} too", tensor.name, origin_.at(tensor.name).filename().string()),
                   "every tensor in one shard", save_again);
    origin_.emplace(tensor.name, path);
  }
}

void Pretrained::add_shards(const Path& index) {
  const json content = read_json(index);
  const auto map = content.find("weight_map");
  if (!content.is_object() || map == content.end() || !map->is_object())
    throw refuse(index, "has no object `weight_map`", "the names of all tensors with the shards that hold them",
                 save_again);
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      throw refuse(index, fmt::format("{} is in {}", tensor, file.dump()), "a file name", save_again);
    const auto name = file.get<std::string>();
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
      throw refuse(index, fmt::format("{} is in {}", tensor, file.dump()), "a file of the same folder", save_again);
    names.insert(name);
  }
  for (const std::string& name : names) add_file(folder_ / name);
  for (const auto& [tensor, file] : map->items()) {
    const auto found = origin_.find(tensor);
    if (found == origin_.end() || found->second.filename() != file.get<std::string>())
      throw refuse(index, fmt::format("{} is not in {}", tensor, file.get<std::string>()),
                   "an index that fits its shards", "download the folder again, all of it");
  }
}

bool is_convertible(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16; }

std::vector<std::byte> converted(const TensorEntry& tensor, DType to) {
  CHECK(is_convertible(tensor.dtype) && is_convertible(to), "{} of {} to {}", tensor.name, name(tensor.dtype),
        name(to));
  const auto count = static_cast<size_t>(tensor.shape.elements());
  const auto from_bytes = static_cast<size_t>(size_of(tensor.dtype)), to_bytes = static_cast<size_t>(size_of(to));
  const auto* from = static_cast<const std::byte*>(tensor.data);
  std::vector<std::byte> out(count * to_bytes);
  for (size_t i = 0; i < count; ++i) store(to, load(tensor.dtype, from + i * from_bytes), out.data() + i * to_bytes);
  return out;
}

}  // namespace ringmaster::checkpoint
