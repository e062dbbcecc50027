// SPDX-License-Identifier: Apache-2.0
// case: one (op, sample) of the conformance suite: its inputs drawn from a counter, its buffers with guard zones, its kernel run
// and its reference. Inputs are rounded to their dtype before either side sees them.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ir/builder.h"

namespace ringmaster::ops {

struct Case {
  const ir::OpDef* op;
  size_t index;  // of the sample
  ir::Sample sample;

  ir::Attrs attrs() const { return ir::complete(*op, sample.attrs); }
  std::vector<ir::Type> outputs() const { return op->infer({attrs(), sample.in, {}}); }
  std::string name() const;  // matmul_3_bf16
};

// Every sample of every op that computes.
std::vector<Case> all_cases();
void PrintTo(const Case& c, std::ostream* out);

// What kernels and references see of the run.
ir::RunContext test_context();

// f64 values of a fill, not yet rounded; the same for the same (name, index).
std::vector<double> draw(const ir::Fill& fill, int64_t count, const std::string& name, uint64_t index);
// The case's inputs, rounded to their dtypes.
std::vector<ir::RefTensor> draw_inputs(const Case& c);
std::vector<ir::RefTensor> run_reference(const Case& c, const std::vector<ir::RefTensor>& in);

std::vector<char> encode(const ir::RefTensor& tensor);
ir::RefTensor decode(const ir::Type& type, const std::vector<char>& bytes);

struct KernelRun {
  int threads = 1;
  unsigned char paint = 0xA5;  // what outputs, scratch and guard zones hold before the run
  bool in_place = false;       // outputs take the memory of inputs of their type
};
// The bytes of the outputs. Fails the test if a guard zone changes, or an input does that no output shares.
std::vector<std::vector<char>> run_kernel(const Case& c, const std::vector<ir::RefTensor>& in, const KernelRun& how);

class Conformance : public testing::TestWithParam<Case> {};

}  // namespace ringmaster::ops
