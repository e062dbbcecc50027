// SPDX-License-Identifier: Apache-2.0
// loss_head_impl: the two implementations of LossHead, by products of oneDNN and by tiles of our own, and what they share: which pieces
// the rows and classes are cut into, and in which order. Private to them.
#pragma once
#include <memory>

#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/loss_head.h"

namespace ringmaster::backend {

class LossHeadImpl {
 public:
  virtual ~LossHeadImpl() = default;
  virtual int64_t scratch_bytes() const = 0;
  void run(const LossHeadArgs& args, char* scratch);

 protected:
  // Rows are cut at multiples of `row_step` where slices of the classes make the gradients, classes into pieces of `most_columns`.
  LossHeadImpl(const LossHeadSpec& spec, int threads, int64_t row_step, int64_t most_columns);

  bool gradients() const { return spec_.kind != LossHeadSpec::loss; }
  bool slices() const { return spec_.kind == LossHeadSpec::vocabulary; }
  // the first of the pieces that a group takes
  int64_t first_of(int64_t group, const Cut& pieces) const { return group * pieces.pieces() / groups_; }

  LossHeadSpec spec_;
  int threads_;
  Cut rows_, columns_;
  int64_t groups_;  // partial sums of a gradient, and so the tasks of a backward

 private:
  virtual void run_rows(const LossHeadArgs& args, char* scratch, int64_t i) = 0;  // piece i, with all classes
  virtual void run_vocabulary(const LossHeadArgs& args, char* scratch) = 0;
};

std::unique_ptr<LossHeadImpl> make_dnnl_loss_head(const LossHeadSpec& spec, int threads);
bool has_bf16_loss_head(const LossHeadSpec& spec);  // this CPU is served best by it; any with AVX512-BF16 can run it
std::unique_ptr<LossHeadImpl> make_bf16_loss_head(const LossHeadSpec& spec, int threads);

}  // namespace ringmaster::backend
