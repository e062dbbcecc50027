// SPDX-License-Identifier: Apache-2.0
#include "train/validate.h"

#include "models/recipe.h"
#include "train/feed.h"

namespace ringmaster::train {

double validation_loss(exec::Executor& evaluator, const data::ValidationSamples& samples, Wire& wire,
                       int64_t grain_size) {
  const int64_t round = evaluator.num_grains() * grain_size;  // samples of one run; those past the last are padding
  double sum = 0;
  for (int64_t first = 0; first < samples.num_samples(); first += round) {
    feed_samples(evaluator, samples, first, grain_size);
    evaluator.run({.phase = models::evaluation, .first_sample = first}, grain_size);
    wire.ran(evaluator);
    for (const float grain : evaluator.output("sums")) sum += static_cast<double>(grain);
  }
  return sum / static_cast<double>(samples.num_targets());
}

}  // namespace ringmaster::train
