// SPDX-License-Identifier: Apache-2.0
// flash: which loops a CPU gets, and how heads and tiles are dealt to threads.
#include "backend/cpu/flash.h"

#include <algorithm>

#include "backend/cpu/flash_kernel.h"
#include "backend/cpu/parallel.h"
#include "core/error.h"
#include "core/isa.h"

namespace ringmaster::backend {
namespace flash {

ForwardScratch::ForwardScratch(const Layout& l, char* base) : pieces(base) {
  const int64_t strips = l.q_tile / strip;
  q = pieces.take<uint32_t>(strips * l.units() * strip);
  k = pieces.take<uint32_t>(l.k_tile * l.units());
  v = pieces.take<uint32_t>(l.k_tile / l.pair * l.lanes());
  p = pieces.take<uint32_t>(l.k_tile / l.pair * strip);
  scores = pieces.take<float>(l.k_tile * strip);
  y = pieces.take<float>(strips * l.rows() * strip);
  top = pieces.take<float>(strips * strip);
  total = pieces.take<float>(strips * strip);
  staging = pieces.take<uint32_t>(strip * l.lanes());
}

BackwardScratch::BackwardScratch(const Layout& l, char* base) : pieces(base) {
  const int64_t queries = l.strips() * strip;
  lse = pieces.take<float>(queries);
  dot = pieces.take<float>(queries);
  dq = pieces.take<float>(l.strips() * l.rows() * strip);
  q = pieces.take<uint32_t>(l.strips() * l.units() * strip);
  dy = pieces.take<uint32_t>(l.strips() * l.units() * strip);
  q_pairs = pieces.take<uint32_t>(queries / l.pair * l.lanes());
  dy_pairs = pieces.take<uint32_t>(queries / l.pair * l.lanes());
  k = pieces.take<uint32_t>(l.k_tile * l.units());
  v = pieces.take<uint32_t>(l.k_tile * l.units());
  k_pairs = pieces.take<uint32_t>(l.k_tile / l.pair * l.lanes());
  dk = pieces.take<float>(l.k_tile * l.lanes());
  dv = pieces.take<float>(l.k_tile * l.lanes());
  p = pieces.take<uint32_t>(l.k_tile * l.p_stride());
  ds = pieces.take<uint32_t>(l.k_tile * l.p_stride());
  ds_pairs = pieces.take<uint32_t>(l.k_tile / l.pair * strip);
  staging = pieces.take<uint32_t>(strip * l.lanes());
}

}  // namespace flash

using flash::Layout;
using flash::Loops;

namespace {

const Loops& loops_for(const FlashSpec& spec) {
  const bool wide = usable_isa() >= Isa::avx512 && spec.isa != FlashSpec::avx2;
  CHECK(wide || spec.isa != FlashSpec::avx512, "this CPU has no AVX-512");
  if (spec.dtype != DType::bf16) return wide ? flash::f32_avx512 : flash::f32_avx2;
  return wide && usable_isa() >= Isa::avx512_bf16 ? flash::bf16_avx512 : flash::rounded_avx2;
}

Layout layout_of(const FlashSpec& s, const Loops& loops) {
  const int64_t queries = flash::up(std::max<int64_t>(s.q_len, 1), flash::strip);
  const int64_t keys = flash::up(std::max<int64_t>(s.k_len, 1), flash::group);
  return {.q_len = s.q_len,
          .k_len = s.k_len,
          .dim = s.dim,
          .q_tile = std::min(queries, flash::up(s.q_tile, flash::strip)),
          .k_tile = std::min(keys, flash::up(s.k_tile, flash::group)),
          .q_stride = s.q.token,
          .k_stride = s.k.token,
          .v_stride = s.v.token,
          .y_stride = s.y.token,
          .dtype = s.dtype,
          .pair = &loops == &flash::bf16_avx512 ? 2 : 1,
          .causal = s.causal,
          .scale = static_cast<float>(s.scale)};
}

}  // namespace

class Flash::Impl {
 public:
  Impl(const FlashSpec& spec, Pass pass, int threads)
      : spec_(spec), loops_(loops_for(spec)), layout_(layout_of(spec, loops_)) {
    const int64_t tiles = (spec.q_len + layout_.q_tile - 1) / layout_.q_tile;
    tasks_ = spec.batch * spec.heads * (pass == forward ? tiles : 1);
    threads_ = threads;
    slice_ = flash::up(pass == forward ? flash::ForwardScratch(layout_, nullptr).pieces.used()
                                       : flash::BackwardScratch(layout_, nullptr).pieces.used(),
                       64);
  }

  int64_t scratch_bytes() const { return std::clamp<int64_t>(tasks_, 1, threads_) * slice_; }

  void run_forward(const FlashInputs& in, void* y, float* lse, void* scratch) const {
    const int64_t heads = spec_.batch * spec_.heads, tiles = heads == 0 ? 0 : tasks_ / heads;
    for_each_task([&](int64_t task, int slot) {
      const int64_t tile = tiles - 1 - task / heads;  // the long ones of a causal mask first
      loops_.forward(layout_, head(in, task % heads, y, lse), tile * layout_.q_tile, slice(scratch, slot));
    });
  }

  void run_backward(const FlashInputs& in, const Saved& saved, const Gradients& out, void* scratch) const {
    for_each_task([&](int64_t task, int slot) {
      const flash::Head h = head(in, task, const_cast<void*>(saved.y), const_cast<float*>(saved.lse));
      const int64_t d_lse_at = task * spec_.q_len * size_of(saved.d_lse_dtype);
      const flash::HeadGrad g{
          .dy = at(saved.dy, task, spec_.y),
          .d_lse = saved.d_lse == nullptr ? nullptr : static_cast<const char*>(saved.d_lse) + d_lse_at,
          .d_lse_dtype = saved.d_lse_dtype,
          .dq = at(out.dq, task, spec_.q),
          .dk = at(out.dk, task, spec_.k),
          .dv = at(out.dv, task, spec_.v)};
      loops_.backward(layout_, h, g, slice(scratch, slot));
    });
  }

 private:
  template <typename Body> void for_each_task(const Body& body) const { parallel_tasks(threads_, tasks_, body); }
  char* slice(void* scratch, int slot) const { return static_cast<char*>(scratch) + slot * slice_; }
  char* at(const void* p, int64_t task, const HeadStrides& s) const {
    const int64_t b = task / spec_.heads, h = task % spec_.heads;
    return static_cast<char*>(const_cast<void*>(p)) + (b * s.batch + h * s.head) * size_of(spec_.dtype);
  }
  flash::Head head(const FlashInputs& in, int64_t index, void* y, float* lse) const {
    const int64_t length = in.lengths == nullptr ? spec_.k_len : in.lengths[index / spec_.heads];
    return {.q = at(in.q, index, spec_.q),
            .k = at(in.k, index, spec_.k),
            .v = at(in.v, index, spec_.v),
            .keys = std::clamp<int64_t>(length, 0, spec_.k_len),
            .y = at(y, index, spec_.y),
            .lse = lse + index * spec_.q_len};
  }

  FlashSpec spec_;
  const Loops& loops_;
  Layout layout_;
  int64_t tasks_ = 0, slice_ = 0;
  int threads_ = 1;
};

Flash::Flash(const FlashSpec& spec, Pass pass, int threads) : impl_(std::make_unique<Impl>(spec, pass, threads)) {}
Flash::~Flash() = default;
int64_t Flash::scratch_bytes() const { return impl_->scratch_bytes(); }
void Flash::run_forward(const FlashInputs& in, void* y, float* lse, void* scratch) const {
  impl_->run_forward(in, y, lse, scratch);
}
void Flash::run_backward(const FlashInputs& in, const Saved& saved, const Gradients& out, void* scratch) const {
  impl_->run_backward(in, saved, out, scratch);
}

}  // namespace ringmaster::backend
