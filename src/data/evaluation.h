// SPDX-License-Identifier: Apache-2.0
// evaluation: the validation split as windows of seq_len at stride seq_len. Every token but the first is a target once;
// the last window is short (its padding has token 0, target 0, mask 0). The loss is nats, weighted by target.
#pragma once
#include "data/samples.h"
#include "data/source.h"

#include <cstdint>

namespace ringmaster::data {

class ValidationWindows final : public ValidationSamples {
 public:
  // Throws Error (data) if the split has fewer than 2 tokens: it would have no target.
  ValidationWindows(Split validation, int64_t seq_len);

  int64_t num_samples() const override { return (num_targets() + seq_len_ - 1) / seq_len_; }
  int64_t num_targets() const override { return validation_.size - 1; }
  void fill(int64_t first, int64_t count, const BatchMemory& out) const override;

 private:
  Split validation_;
  int64_t seq_len_;
};

}  // namespace ringmaster::data
