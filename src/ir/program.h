// SPDX-License-Identifier: Apache-2.0
// program: a compiled program as a callable, so that samplers and evaluators need not know how it runs.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "ir/kernel.h"

namespace ringmaster::ir {

class Program {
 public:
  virtual ~Program() = default;

  // Grains of the step that this rank runs; the same in every run.
  virtual int64_t first_grain() const = 0;
  virtual int64_t local_grains() const = 0;
  virtual int64_t num_grains() const = 0;

  // Where the host writes a batch tensor before run(); grain counts this rank's grains from 0. Dense row-major.
  virtual void* input(std::string_view name, int64_t grain) = 0;
  // A runtime scalar; converted to the dtype that the program declares. A scalar that no node reads is ignored.
  virtual void set_scalar(std::string_view name, double value) = 0;
  // Blocks until all regions have run. context gives seed, step, phase, repeat and the first sample of grain 0.
  virtual void run(const RunContext& context, int64_t grain_size) = 0;
  // What `output` nodes hold after run(), as floats; valid until the next run of any program of the arena.
  virtual std::span<const float> output(std::string_view name) const = 0;
};

}  // namespace ringmaster::ir
