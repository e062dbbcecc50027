// SPDX-License-Identifier: Apache-2.0
#include "data/open.h"

#include "core/sha256.h"
#include "data/points.h"
#include "data/sampler.h"

#include <fmt/format.h>

namespace ringmaster::data {
namespace {

bool from_files(const config::Config& c) { return c.data.source == "file"; }

}  // namespace

Offer offer(const config::Config& c) {
  if (from_files(c)) {
    const Shape T{c.training.seq_len};
    return {
        "files of tokens", "tokens", {{"tokens", DType::i32, T}, {"targets", DType::i32, T}, {"mask", DType::f32, T}}};
  }
  Offer points{"points in the plane", "points", {{"x", DType::f32, {2}}, {"mask", DType::f32, {}}}};
  if (c.data.other_set != "none") points.fields.push_back({"y", DType::f32, {2}});
  return points;
}

Opened open(const config::Config& c) {
  if (!from_files(c))
    return {.training = std::make_shared<TrainingPoints>(c.data, c.training.seed),
            .validation = std::make_shared<ValidationPoints>(c.data, c.training.seed),
            .dataset = {}};
  const Dataset dataset = open_dataset(c.data);
  const int64_t T = c.training.seq_len;
  const SamplerOptions options{
      .seed = c.training.seed, .seq_len = T, .global_batch_size = c.training.global_batch_size};
  return {.training = std::make_shared<Sampler>(dataset.train, options),
          .validation = std::make_shared<ValidationWindows>(dataset.validation, T),
          .dataset = dataset};
}

std::string hash(const Opened& opened, const config::Config& c) {
  if (from_files(c)) return scan(opened.dataset, c.model.vocab_size);
  return sha256_hex(
      fmt::format("generated\n{}\n{}\n{}\n{}\n", c.data.set, c.data.other_set, c.data.points, c.training.seed));
}

}  // namespace ringmaster::data
