// SPDX-License-Identifier: Apache-2.0
#include "nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ringmaster::nn {

double lr_factor(const ScheduleOptions& options, int64_t step) {
  if (step < options.warmup_steps) return static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  if (options.decay == Decay::constant) return 1.0;
  const double span = static_cast<double>(std::max<int64_t>(options.total_steps - options.warmup_steps, 1));
  const double progress = std::min(static_cast<double>(step - options.warmup_steps) / span, 1.0);
  const double shape =
      options.decay == Decay::linear ? 1.0 - progress : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return options.min_factor + (1.0 - options.min_factor) * shape;
}

}  // namespace ringmaster::nn
