// SPDX-License-Identifier: Apache-2.0
// samples: what a run reads, whatever it is made of. Training samples are numbered over the whole run, and a sample is a function
// of its number alone: any rank count and any restart read the same ones.
#pragma once
#include "core/dtype.h"
#include "core/shape.h"
#include "data/batch.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::data {

// A tensor of a sample: in a batch of B it is [B, shape...].
struct Field {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
};

class TrainingSamples {
 public:
  virtual ~TrainingSamples() = default;
  virtual int64_t per_epoch() const = 0;  // 0: no sample ever comes again
  virtual int64_t tokens_per_sample() const = 0;
  // Writes samples [first, first + count) to rows 0..count-1: a rank passes its grain. Blocks on the disk, never allocates, safe
  // from several threads.
  virtual void fill(int64_t first, int64_t count, const BatchMemory& out) const = 0;
};

class ValidationSamples {
 public:
  virtual ~ValidationSamples() = default;
  virtual int64_t num_samples() const = 0;
  virtual int64_t num_targets() const = 0;  // what the sum of their losses is divided by
  // As above; rows past the last sample are padding with mask 0, so that ranks and grains of any size divide the work.
  virtual void fill(int64_t first, int64_t count, const BatchMemory& out) const = 0;
};

}  // namespace ringmaster::data
