// SPDX-License-Identifier: Apache-2.0
// pretrained: a folder as Hugging Face's save_pretrained leaves it: config.json beside model.safetensors, or beside shards that
// model.safetensors.index.json lists. Nothing in it is trusted: names never leave the folder and every header is checked.
#pragma once
#include <cstddef>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/file.h"

namespace ringmaster::checkpoint {

class Pretrained {
 public:
  // Throws Error (checkpoint) naming the file: absent, not safetensors, a tensor twice, an index that does not fit its shards.
  explicit Pretrained(const Path& folder);

  const Path& folder() const { return folder_; }
  const nlohmann::json& config() const { return config_; }
  Path config_file() const { return folder_ / "config.json"; }
  // Views into the mapped files, by name as in the file.
  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }
  const Path& file_of(const std::string& tensor) const { return origin_.at(tensor); }

 private:
  void add_file(const Path& path);
  void add_shards(const Path& index);

  Path folder_;
  nlohmann::json config_;
  std::deque<Safetensors> files_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
  std::map<std::string, Path> origin_;
};

// The elements of a float tensor in another float type, nearest even; f32, bf16 and f16 both ways. CHECKs that it is one.
std::vector<std::byte> converted(const TensorEntry& tensor, DType to);
bool is_convertible(DType dtype);

}  // namespace ringmaster::checkpoint
