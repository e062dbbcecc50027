// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/loss_head.h"

#include "backend/cpu/loss_head_impl.h"

namespace ringmaster::backend {

LossHead::LossHead(const LossHeadSpec& spec, int threads)
    : impl_(has_bf16_loss_head(spec) ? make_bf16_loss_head(spec, threads) : make_dnnl_loss_head(spec, threads)) {}
LossHead::~LossHead() = default;
int64_t LossHead::scratch_bytes() const { return impl_->scratch_bytes(); }
void LossHead::run(const LossHeadArgs& args, void* scratch) { impl_->run(args, static_cast<char*>(scratch)); }

}  // namespace ringmaster::backend
