// SPDX-License-Identifier: Apache-2.0
#include "data/open.h"

#include "data/sampler.h"

namespace ringmaster::data {

Opened open(const config::Config& c) {
  const Dataset dataset = open_dataset(c.data);
  const int64_t T = c.training.seq_len;
  const SamplerOptions options{
      .seed = c.training.seed, .seq_len = T, .global_batch_size = c.training.global_batch_size};
  return {.training = std::make_shared<Sampler>(dataset.train, options),
          .validation = std::make_shared<ValidationWindows>(dataset.validation, T),
          .dataset = dataset};
}

std::string hash(const Opened& opened, const config::Config& c) { return scan(opened.dataset, c.model.vocab_size); }

}  // namespace ringmaster::data
