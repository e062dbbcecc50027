// SPDX-License-Identifier: Apache-2.0
#include "nn/module.h"

#include "core/error.h"
#include "core/philox.h"
#include "ops/ops.h"

namespace ringmaster::nn {

Tensor Parameter::read(ir::Builder& builder) const { return ops::state_read(builder, name); }

void initialise(const Parameter& parameter, uint64_t seed, int64_t begin, std::span<float> out) {
  CHECK(begin % 2 == 0, "a draw gives two elements: {} is odd", begin);
  const auto n = static_cast<int64_t>(out.size());
  const RandomStream stream({.seed = seed, .stream = stable_hash(parameter.name)});
  const double mean = parameter.init.mean, std = parameter.init.std;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < (n + 1) / 2; ++block) {
    const PhiloxCounter words = stream.words(0, static_cast<uint64_t>(begin / 2 + block));
    for (int64_t k = 0; k < 2 && 2 * block + k < n; ++k) {
      const auto first = static_cast<size_t>(2 * k);
      const double draw = std == 0.0 ? 0.0 : normal(words[first], words[first + 1]);
      out[static_cast<size_t>(2 * block + k)] = static_cast<float>(mean + std * draw);
    }
  }
}

int64_t Network::num_elements() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.shape.elements();
  return n;
}

const Parameter* Network::declare(std::string name, const Shape& shape, const Init& init) {
  for (const Parameter& p : parameters_) CHECK(p.name != name, "parameter {} is declared twice", name);
  parameters_.push_back({std::move(name), shape, init});
  return &parameters_.back();
}

}  // namespace ringmaster::nn
