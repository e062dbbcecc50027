// SPDX-License-Identifier: Apache-2.0
// schedule: the learning rate of an update as a factor of optimizer.lr; a pure function of its index.
#pragma once
#include <cstdint>

namespace ringmaster::nn {

enum class Decay { constant, linear, cosine };

struct ScheduleOptions {
  int64_t warmup_steps = 0;  // linear from 1/warmup_steps to 1
  int64_t total_steps = 0;   // the decay ends here
  Decay decay = Decay::constant;
  double min_factor = 0.0;
};

// step: 0-based index of the update. Cosine: Loshchilov and Hutter 2017, arXiv:1608.03983, one half period.
double lr_factor(const ScheduleOptions& options, int64_t step);

}  // namespace ringmaster::nn
