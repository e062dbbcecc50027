// SPDX-License-Identifier: Apache-2.0
// hash: the two hashes by which runs are compared (`params_hash`, `state_hash` in docs/run-folder.md). SHA-256 over the tensors in
// byte order of name, each as name \0 dtype \0 dims joined by "," \0 raw bytes; dtype is spelt as in the file ("F32"), a scalar has no dims.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "checkpoint/safetensors.h"

namespace ringmaster::checkpoint {

std::string params_hash(std::span<const TensorEntry> model);

struct StateParts {
  std::span<const TensorEntry> model, optimizer, ema;
  std::string_view state_json;  // the bytes of state.json
};
// Tensors are named "model/NAME", "optimizer/NAME", "ema/NAME" and hashed in byte order of that; then state.json.
std::string state_hash(const StateParts& parts);

}  // namespace ringmaster::checkpoint
