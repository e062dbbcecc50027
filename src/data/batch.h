// SPDX-License-Identifier: Apache-2.0
// batch: where the tensors of a batch are written. The memory is the caller's: buffers of the arena.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace ringmaster::data {

// The tensors of B samples by name, dense row-major with dim 0 the samples; null where the program does not read one.
class BatchMemory {
 public:
  using Lookup = std::function<void*(std::string_view name)>;
  explicit BatchMemory(Lookup lookup) : lookup_(std::move(lookup)) {}
  template <typename T> T* tensor(std::string_view name) const { return static_cast<T*>(lookup_(name)); }

 private:
  Lookup lookup_;
};

}  // namespace ringmaster::data
