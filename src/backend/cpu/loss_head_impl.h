// SPDX-License-Identifier: Apache-2.0
// loss_head_impl: the two implementations of LossHead, by products of oneDNN and by tiles of our own, and what they share. Private to
// them.
#pragma once
#include <memory>

#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/loss_head.h"

namespace ringmaster::backend {

class LossHeadImpl {
 public:
  virtual ~LossHeadImpl() = default;
  virtual int64_t scratch_bytes() const = 0;
  virtual void run(const LossHeadArgs& args, char* scratch) = 0;
};

std::unique_ptr<LossHeadImpl> make_dnnl_loss_head(const LossHeadSpec& spec, int threads);
bool has_bf16_loss_head(const LossHeadSpec& spec);  // this CPU, for this problem
std::unique_ptr<LossHeadImpl> make_bf16_loss_head(const LossHeadSpec& spec, int threads);

namespace loss_head {

inline constexpr int64_t whole_rows = 256;  // of a tile of logits
inline constexpr int64_t most_groups = 8;   // partial sums of a gradient, and so the tasks of a backward

// Pieces of at most `limit`; about eight of them where the dim is small, so that threads find work.
inline Cut cut_at(int64_t total, int64_t limit, int64_t step) {
  const int64_t eighth = ceil_div(ceil_div(total, 8), step) * step;
  return {total, std::max<int64_t>(1, std::min({total, limit, std::max(eighth, 64L)}))};
}

}  // namespace loss_head

}  // namespace ringmaster::backend
