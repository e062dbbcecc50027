// SPDX-License-Identifier: Apache-2.0
// scratch: the memory that a kernel under test works in, aligned as the arena aligns it and full of NaN, of which no result may be made.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace ringmaster::backend {

class Scratch {
 public:
  explicit Scratch(int64_t bytes) : memory_(static_cast<size_t>(bytes) + 64, '\xff'), data_(memory_.data()) {
    size_t space = memory_.size();
    std::align(64, static_cast<size_t>(bytes), data_, space);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  std::vector<char> memory_;
  void* data_;
};

}  // namespace ringmaster::backend
