// SPDX-License-Identifier: Apache-2.0
// sampler: which windows of the training split a step sees. A pure function of (seed, global sample index): no state,
// no rank, so any rank count and any restart read the same samples. An epoch cuts the split into windows of seq_len
// tokens at stride seq_len, starting at an offset drawn for that epoch (so that epochs cut differently), and visits
// each once in the order of a keyed permutation. Batches run across epoch ends.
#pragma once
#include "data/batch.h"
#include "data/source.h"

#include <cstdint>

namespace ringmaster::data {

struct SamplerOptions {
  uint64_t seed = 0;
  int64_t seq_len = 0;            // tokens in a window
  int64_t global_batch_size = 0;  // samples a step
};

// What metrics.jsonl says about a step: global samples [sample_first, sample_end), epoch of the first.
struct SampleRange {
  int64_t sample_first = 0;
  int64_t sample_end = 0;
  int64_t epoch = 0;
};

class Sampler {
 public:
  // Throws Error (data) if the split holds no window, or fewer windows than one global batch.
  Sampler(Split train, SamplerOptions options);

  // The same number in every epoch, whatever its offset.
  int64_t windows_per_epoch() const { return windows_; }
  // `step` counts from 0: step s takes the samples [s * batch, (s + 1) * batch).
  SampleRange range(int64_t step) const;
  // First token of global sample g's window, within the split.
  int64_t window_start(int64_t sample) const;
  // Writes global samples [first, first + count) to rows 0..count-1: a rank passes its grain. Blocks on the disk, never
  // allocates, safe from several threads. The mask is 1 everywhere.
  void fill(int64_t first, int64_t count, const BatchMemory& out) const;

 private:
  Split train_;
  SamplerOptions options_;
  int64_t windows_ = 0;
  int64_t offsets_ = 1;  // number of offsets that an epoch draws from
};

}  // namespace ringmaster::data
