// SPDX-License-Identifier: Apache-2.0
// laps: training steps that take turns with a matrix product alone. Machines drift, by a factor of two within seconds; how many
// products a step takes drifts less.
#pragma once
#include "backend/cpu/peak.h"
#include "train/bench_step.h"

#include <cstdint>

namespace ringmaster::train {

// A product of 1,024 rows, columns and depth.
class ProductAlone {
 public:
  ProductAlone(DType compute, int threads);  // the dtype of the configuration's products; f16 is computed in f32
  double seconds();                          // median of some runs, some 50 ms in all; blocks

 private:
  backend::GemmAlone alone_;
};

struct Lap {
  double step = 0, product = 0;  // seconds of one
  int64_t steps = 1;
  double ratio() const { return step / product; }
};

class Laps {
 public:
  // Both must outlive this.
  Laps(BenchStep& bench, ProductAlone& product) : bench_(bench), product_(product) {}
  // One step, or as many as take 50 ms, between two runs of the product. Blocks.
  Lap run();

 private:
  BenchStep& bench_;
  ProductAlone& product_;
  int64_t steps_ = 1;
  double before_ = 0;  // the product, behind the last lap
};

}  // namespace ringmaster::train
