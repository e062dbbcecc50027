// SPDX-License-Identifier: Apache-2.0
// sampler: which windows of the training split a step sees. A pure function of (seed, global sample index): no state,
// no rank, so any rank count and any restart read the same samples. An epoch cuts the split into windows of seq_len
// tokens at stride seq_len, starting at an offset drawn for that epoch (so that epochs cut differently), and visits
// each once in the order of a keyed permutation. Batches run across epoch ends.
#pragma once
#include "data/samples.h"
#include "data/source.h"

#include <cstdint>

namespace ringmaster::data {

struct SamplerOptions {
  uint64_t seed = 0;
  int64_t seq_len = 0;            // tokens in a window
  int64_t global_batch_size = 0;  // samples a step
};

// Fields "tokens" i32[T], "targets" i32[T] (the token that follows each) and "mask" f32[T] (1 everywhere).
class Sampler final : public TrainingSamples {
 public:
  // Throws Error (data) if the split holds no window, or fewer windows than one global batch.
  Sampler(Split train, SamplerOptions options);

  // The same number in every epoch, whatever its offset.
  int64_t per_epoch() const override { return windows_; }
  int64_t tokens_per_sample() const override { return options_.seq_len; }
  // First token of global sample g's window, within the split.
  int64_t window_start(int64_t sample) const;
  void fill(int64_t first, int64_t count, const BatchMemory& out) const override;

 private:
  Split train_;
  SamplerOptions options_;
  int64_t windows_ = 0;
  int64_t offsets_ = 1;  // number of offsets that an epoch draws from
};

}  // namespace ringmaster::data
