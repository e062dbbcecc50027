// SPDX-License-Identifier: Apache-2.0
// loss_head: cross-entropy of logits x W^T, and its gradients, in tiles of the logits: no more than a few exist at a time. N rows
// of x, C channels, V classes (rows of W).                                                  Wijmans et al. 2024, arXiv:2411.09009
//   loss              one product. Tiles leave maximum and sum of each row; nothing else stays.
//   rows              three products: 256 rows after the other, whose V exponentials are kept until their sum is known; the
//                     gradient of W adds up over them
//   vocabulary        four products with those of `loss`: one slice of the classes after the other, whose logits are computed
//                     once more; the gradient of x adds up over them in f32
// Numerics: f32 sums; logits and exponentials stay f32; what enters a product of the backward is rounded to the dtype of x. The
// loss of `rows` has the bits of `loss`. All cuts are pure functions of N, C and V; the bits do not depend on threads.
// bf16 of an even C on AVX512-BF16 without AMX is multiplied in tiles of our own, which add to the gradient of W while the next
// piece of it is on its way (oneDNN waits for it: measured 870 against 580 GFLOP/s); all else by oneDNN.
#pragma once
#include <cstdint>
#include <memory>

#include "backend/cpu/grid.h"
#include "core/dtype.h"

namespace ringmaster::backend {

struct LossHeadSpec {
  enum Kind : uint8_t { loss, rows, vocabulary } kind = loss;
  int64_t n = 0, width = 1, classes = 1;
  DType dtype = DType::f32;  // of x, W and dx
};

struct LossHeadArgs {
  const void *x, *weight;             // [N,C], [V,C]
  const int32_t* targets;             // [N], in [0, V)
  const float* saved_loss = nullptr;  // [N], in: vocabulary
  const float* d_loss = nullptr;      // [N], in: rows and vocabulary
  float* loss = nullptr;              // [N], out: loss and rows
  void* dx = nullptr;                 // [N,C], out: rows and vocabulary
  float* dweight = nullptr;           // [V,C], likewise
  Fold fold = {};                     // how dweight is written: `vocabulary` by finished slices; `rows` adds to nothing
};

class LossHeadImpl;  // loss_head_impl.h

class LossHead {
 public:
  LossHead(const LossHeadSpec& spec, int threads);
  ~LossHead();
  int64_t scratch_bytes() const;
  void run(const LossHeadArgs& args, void* scratch);

 private:
  std::unique_ptr<LossHeadImpl> impl_;
};

}  // namespace ringmaster::backend
