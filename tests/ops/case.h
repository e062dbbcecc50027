// SPDX-License-Identifier: Apache-2.0
// case: one (op, sample) of the conformance suite: its inputs drawn from a counter, its buffers with guard zones, its kernel run
// and its reference. Inputs are rounded to their dtype before either side sees them.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <span>
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

// Every sample of every op that computes, and those of them that fit.
std::vector<Case> all_cases();
std::vector<Case> cases_where(const std::function<bool(const Case&)>& fits);
void PrintTo(const Case& c, std::ostream* out);

// What kernels and references see of the run.
ir::RunContext test_context();

// f64 values of a fill, not yet rounded; the same for the same (name, index). They repeat with a long odd period.
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

// A painted buffer between two guard zones, 64-byte aligned.
class Buffer {
 public:
  explicit Buffer(int64_t bytes);
  char* data() { return memory_.data() + begin_; }
  std::span<const char> bytes() const { return std::span(memory_).subspan(begin_, bytes_); }
  void paint(unsigned char colour);
  bool guards_intact() const;  // since paint()

 private:
  std::vector<char> memory_;
  size_t begin_, bytes_;
  char colour_ = 0;
};

// Runs a case's kernel again and again on the same buffers.
class TestBed {
 public:
  TestBed(Case c, const std::vector<ir::RefTensor>& in);
  // The bytes of the outputs, valid until the next run. Fails the test if a guard zone changes, or an input does that no
  // output shares.
  std::vector<std::span<const char>> run(const KernelRun& how);

 private:
  Case case_;
  ir::Attrs attrs_;
  std::vector<ir::Type> out_types_;
  std::vector<std::vector<char>> given_;  // the inputs as they should stay
  std::vector<Buffer> in_, out_;
};

// The outputs of one run.
std::vector<std::vector<char>> run_kernel(const Case& c, const std::vector<ir::RefTensor>& in, const KernelRun& how);

struct CaseName {
  std::string operator()(const testing::TestParamInfo<Case>& info) const { return info.param.name(); }
};

}  // namespace ringmaster::ops
