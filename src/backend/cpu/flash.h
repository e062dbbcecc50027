// SPDX-License-Identifier: Apache-2.0
// flash: attention and its gradient without the [T,T] weights, Dao et al. 2022, arXiv:2205.14135, and 2023, arXiv:2307.08691.
//   y = softmax(scale q k') v for each sequence and head; lse = log sum exp(scale q k'), all that backward needs beside y.
// Keys are taken in blocks: a query keeps its largest score so far, rescales what it has summed when that grows, and divides at
// the end. Backward computes the weights again from lse. Blocks that a causal mask hides are never touched.
//   numerics: f32 sums. Weights and ds are rounded to bf16 for the products of bf16 data, by AVX512-BF16 where the CPU has it;
//   f16 and f32 data is computed in f32, with the same bits on AVX2 and AVX-512. Results are rounded once. The tiles are part of
//   the numerics and fixed here; a task is one head (backward) or one tile of its queries (forward), so that bits do not
//   depend on threads.
//   memory: scratch_bytes(), a slice a thread: tiles forward; backward also packed q and dy and f32 dq of one head, linear in T.
#pragma once
#include <cstdint>
#include <memory>

#include "core/dtype.h"

namespace ringmaster::backend {

// Where element 0 of sequence b, token t, head h lies: b * batch + t * token + h * head elements from the start.
struct HeadStrides {
  int64_t batch = 0, token = 0, head = 0;
};

struct FlashSpec {
  int64_t batch = 1, heads = 1, q_len = 1, k_len = 1, dim = 1;  // dim > 0
  HeadStrides q, k, v, y;                                       // their gradients lie alike
  DType dtype = DType::f32;
  bool causal = false;  // query i sees keys j <= i
  double scale = 1.0;   // > 0
  int64_t q_tile = 256, k_tile = 64;
  enum Isa { best, avx2, avx512 } isa = best;  // for tests: what this CPU may use
};

struct FlashInputs {
  const void *q, *k, *v;
  const int32_t* lengths;  // [batch]: keys of a sequence that are no padding; null: all
};

class Flash {
 public:
  enum Pass { forward, backward };
  Flash(const FlashSpec& spec, Pass pass, int threads);
  ~Flash();
  int64_t scratch_bytes() const;
  // lse is [batch, heads, q_len]; a query that sees no key has y 0 and lse -infinity
  void run_forward(const FlashInputs& in, void* y, float* lse, void* scratch) const;
  struct Gradients {
    void *dq, *dk, *dv;
  };
  struct Saved {
    const void* y;
    const float* lse;
    const void* dy;
    const void* d_lse = nullptr;  // like lse, or null: the loss does not depend on lse
    DType d_lse_dtype = DType::f32;
  };
  void run_backward(const FlashInputs& in, const Saved& saved, const Gradients& out, void* scratch) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmaster::backend
