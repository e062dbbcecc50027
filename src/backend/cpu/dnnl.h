// SPDX-License-Identifier: Apache-2.0
// dnnl: the one place that knows oneDNN (2.6 and 3.x). oneDNN picks blockings, and with them bits, by its number of threads.
// So each primitive here is prepared for ONE thread and a result is a fixed list of tasks, a pure function of the shapes; the
// threads deal the tasks among them. Bits then do not depend on threads by construction, for every version and ISA.
// On GPT shapes this takes the CPU time of oneDNN's own threading or less, within 10 % either way (the gradient of a 768 x 50304
// head: 1.5x faster). oneDNN itself takes a few records a call, and its gemm a packing buffer: from a
// CallMemory, in a program that serves it.
//   dtypes: f32; bf16 where oneDNN has a kernel for it on this CPU; else 16-bit data is widened in scratch and rounded once.
//   run() blocks, opens its own parallel region, allocates nothing of ours; one caller at a time per object.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

#include "backend/cpu/grid.h"
#include "core/dtype.h"

namespace ringmaster::backend {

std::string_view dnnl_version();  // "2.6.3"

struct MatmulSpec {
  int64_t batch = 1, m = 1, n = 1, k = 1;  // c[batch,m,n] = a[batch,m,k] b[batch,k,n] (+ bias[n]); k > 0
  bool transpose_a = false;                // a lies as [batch,k,m]
  bool transpose_b = false;                // b lies as [batch,n,k]
  DType dtype = DType::f32;                // of a, b, c and bias
  bool bias = false;
  std::optional<DType> out = {};  // of c where it is not `dtype`: f32, the sum as it is
  bool panels = false;            // run_fold() too; c is f32
};

class Matmul {
 public:
  Matmul(const MatmulSpec& spec, int threads);
  ~Matmul();
  int64_t scratch_bytes() const;
  void run(const void* a, const void* b, const void* bias, void* c, void* scratch);
  // Each panel of a b (+ bias) is finished, with the bits that run() gives it, and goes where `fold` says while it is hot.
  void run_fold(const void* a, const void* b, const void* bias, void* c, void* scratch, const Fold& fold);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// What works row by row: `rows` independent rows of `width` elements.
struct RowsSpec {
  enum Kind {
    softmax,     // in x; out y                             y may be x
    layer_norm,  // in x, f32 gain[width], f32 bias[width]; out y, f32 mean[rows], f32 variance[rows]
  } kind = softmax;
  int64_t rows = 1, width = 1;
  DType dtype = DType::f32;       // of x and y
  std::optional<DType> out = {};  // of y where it is not `dtype`
  double eps = 0.0;               // layer_norm
};

// Where x is a + b: the rows of a task are added in front of its primitive, in `to`, which is also the first input.
struct RowsSum {
  const void* a = nullptr;
  const void* b = nullptr;
  void* to = nullptr;
};

class Rows {
 public:
  Rows(const RowsSpec& spec, int threads);
  ~Rows();
  int64_t scratch_bytes() const;
  // the inputs, then the outputs, in the order of the kind
  void run(std::initializer_list<const void*> in, std::initializer_list<void*> out, void* scratch, RowsSum sum = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmaster::backend
