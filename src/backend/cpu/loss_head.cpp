// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/loss_head.h"

#include "backend/cpu/loss_head_impl.h"

#include <cstring>

namespace ringmaster::backend {
namespace {

constexpr int64_t whole_rows = 256, most_groups = 8;

// Pieces of at most `limit`; about eight of them where the dim is small, so that threads find work.
Cut cut_at(int64_t total, int64_t limit, int64_t step) {
  const int64_t eighth = ceil_div(ceil_div(total, 8), step) * step;
  return {total, std::max<int64_t>(1, std::min({total, limit, std::max(eighth, 64L)}))};
}

// The smallest heads are done sooner than threads wake.
bool is_small(const LossHeadSpec& s) {
  return static_cast<double>(s.n * s.classes) * static_cast<double>(s.width) < 1e6;
}

// The gradient of W, which added up over the rows, becomes integers where it lies.
void put_on_grid(float* x, int64_t n, const Fold& fold, int threads) {
  constexpr int64_t piece = 16384;
  parallel_for(threads, ceil_div(n, piece),
               [&](int64_t i) { fold(x + i * piece, x + i * piece, std::min(piece, n - i * piece)); });
}

}  // namespace

LossHeadImpl::LossHeadImpl(const LossHeadSpec& spec, int threads, int64_t row_step, int64_t most_columns)
    : spec_(spec),
      threads_(is_small(spec) ? 1 : threads),
      rows_(slices() ? cut_at(spec.n, whole_rows, row_step)
                     : Cut{spec.n, std::max<int64_t>(1, std::min(spec.n, whole_rows))}),
      columns_(cut_at(spec.classes, most_columns, 64)),
      groups_(std::min(most_groups, slices() ? rows_.pieces() : columns_.pieces())) {}

void LossHeadImpl::run(const LossHeadArgs& args, char* scratch) {
  if (spec_.n == 0) {
    if (gradients() && !args.fold.add)
      std::memset(args.dweight, 0, static_cast<size_t>(spec_.classes * spec_.width * 4));
  } else if (slices()) {
    run_vocabulary(args, scratch);
  } else {
    for (int64_t i = 0; i < rows_.pieces(); ++i) run_rows(args, scratch, i);
    if (args.fold.peak != nullptr) put_on_grid(args.dweight, spec_.classes * spec_.width, args.fold, threads_);
  }
}

LossHead::LossHead(const LossHeadSpec& spec, int threads)
    : impl_(has_bf16_loss_head(spec) ? make_bf16_loss_head(spec, threads) : make_dnnl_loss_head(spec, threads)) {}
LossHead::~LossHead() = default;
int64_t LossHead::scratch_bytes() const { return impl_->scratch_bytes(); }
void LossHead::run(const LossHeadArgs& args, void* scratch) { impl_->run(args, static_cast<char*>(scratch)); }

}  // namespace ringmaster::backend
