// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/sha256.h"

namespace ringmaster::checkpoint {
namespace {

using Named = std::pair<std::string, const TensorEntry*>;

void add(std::vector<Named>& all, std::string_view prefix, std::span<const TensorEntry> tensors) {
  for (const TensorEntry& tensor : tensors) all.emplace_back(std::string(prefix) + tensor.name, &tensor);
}

void update(Sha256& sha, std::vector<Named> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const Named& a, const Named& b) { return a.first < b.first; });
  constexpr std::string_view nul("\0", 1);
  for (const auto& [name, tensor] : tensors) {
    sha.update(name).update(nul).update(safetensors_name(tensor->dtype)).update(nul);
    sha.update(fmt::format("{}", fmt::join(tensor->shape.dims(), ","))).update(nul);
    tensor->for_pieces([&](const void* p, int64_t bytes) { sha.update(p, static_cast<size_t>(bytes)); });
  }
}

}  // namespace

std::string params_hash(std::span<const TensorEntry> model) {
  std::vector<Named> tensors;
  add(tensors, "", model);
  Sha256 sha;
  update(sha, std::move(tensors));
  return sha.hex();
}

std::string state_hash(const StateParts& parts) {
  std::vector<Named> tensors;
  add(tensors, "model/", parts.model);
  add(tensors, "optimizer/", parts.optimizer);
  add(tensors, "ema/", parts.ema);
  Sha256 sha;
  update(sha, std::move(tensors));
  return sha.update(parts.state_json).hex();
}

}  // namespace ringmaster::checkpoint
