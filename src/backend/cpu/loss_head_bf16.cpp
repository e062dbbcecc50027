// SPDX-License-Identifier: Apache-2.0
// loss_head_bf16: the loss head by the tiles of loss_head_tiles.h.
#include "backend/cpu/flash_kernel.h"
#include "backend/cpu/loss_head_impl.h"
#include "backend/cpu/loss_head_rows.h"
#include "backend/cpu/loss_head_tiles.h"
#include "backend/cpu/vector_math.h"
#include "core/isa.h"

#include <cmath>
#include <cstring>

namespace ringmaster::backend {
namespace {

using loss_head::Operands, loss_head::Rows, loss_head::Tile, loss_head::lanes;

// What a tile computes with stays in L2. A slice is wider, as x is packed for each tile of it.
constexpr int64_t tile_classes = 128, slice = 256;

class Bf16LossHead : public LossHeadImpl {
 public:
  Bf16LossHead(const LossHeadSpec& spec, int threads)
      : LossHeadImpl(spec, threads, lanes, spec.kind == LossHeadSpec::vocabulary ? slice : tile_classes),
        whole_{rows_.size, columns_.size, spec.width} {}

  int64_t scratch_bytes() const override {
    const int64_t slots = std::min<int64_t>(threads_, std::max({whole_.strips(), columns_.pieces(), groups_}));
    return Shared(*this, nullptr).pieces.used() + slots * Slot(*this, nullptr).pieces.used();
  }

 private:
  // ---- scratch: one piece of rows with all its tiles, or with slices of the classes all rows
  struct Shared {
    Shared(const Bf16LossHead& h, char* base) : pieces(base) {
      const Tile& t = h.whole_;
      const int64_t r = t.padded_rows(), tiles = h.columns_.pieces(), all = h.slices() ? h.rows_.pieces() * r : r;
      at = pieces.take<float>(all);
      lse = pieces.take<float>(all);
      d_loss = pieces.take<float>(all);
      at_target = pieces.take<float>(all);
      if (h.slices()) {
        strips = pieces.take<uint32_t>(all * t.channel_pairs());
        dx = pieces.take<float>(all * t.padded_width());
        partial = pieces.take<float>(h.groups_ * t.classes * t.width);
        return;
      }
      top = pieces.take<float>(tiles * r);
      total = pieces.take<float>(tiles * r);
      strips = pieces.take<uint32_t>(r * t.channel_pairs());
      if (!h.gradients()) return;
      e = pieces.take<float>(tiles * t.logits());
      pairs = pieces.take<uint32_t>(t.row_pairs() * t.padded_width());
      dx = pieces.take<float>(h.groups_ * r * t.padded_width());
    }
    flash::Pieces pieces;
    float *at, *lse, *d_loss,
        *at_target;  // of rows: logit of the target, log of the sum, gradient of the loss, d at the target
    float *dx, *partial = nullptr;
    float *top = nullptr, *total = nullptr, *e = nullptr;  // of tiles
    uint32_t *strips = nullptr, *pairs = nullptr;
  };
  struct Slot {
    Slot(const Bf16LossHead& h, char* base) : pieces(base) {
      const Tile& t = h.whole_;
      last = pieces.take<uint32_t>(loss_head::group * t.channel_pairs());
      staging = pieces.take<uint32_t>(lanes * t.channel_pairs());
      targets = pieces.take<int32_t>(t.padded_rows());
      if (h.spec_.kind != LossHeadSpec::rows) e = pieces.take<float>(t.logits());
      if (!h.gradients()) return;
      factor = pieces.take<float>(t.padded_rows());
      d_rows = pieces.take<uint32_t>(t.padded_classes() * t.row_pairs());
      d_strips = pieces.take<uint32_t>(t.padded_rows() * t.class_pairs());
      w_pairs = pieces.take<uint32_t>(t.class_pairs() * t.padded_width());
      if (!h.slices()) return;
      pairs = pieces.take<uint32_t>(t.row_pairs() * t.padded_width());
    }
    flash::Pieces pieces;
    uint32_t *last, *staging, *d_rows = nullptr, *d_strips = nullptr, *w_pairs = nullptr, *pairs = nullptr;
    int32_t* targets;
    float *e = nullptr, *factor = nullptr;
  };
  Slot slot_of(char* scratch, int slot) const {
    return {*this, scratch + Shared(*this, nullptr).pieces.used() + slot * Slot(*this, nullptr).pieces.used()};
  }

  // ---- what a tile takes
  Tile tile(int64_t i, int64_t j) const { return {rows_.length(i), columns_.length(j), spec_.width}; }
  const uint16_t* x_of(const LossHeadArgs& args, int64_t i) const {
    return static_cast<const uint16_t*>(args.x) + rows_.begin(i) * spec_.width;
  }
  Operands weight_of(const LossHeadArgs& args, int64_t j, const Slot& s) const {
    return {static_cast<const uint16_t*>(args.weight) + columns_.begin(j) * spec_.width, s.last};
  }
  const int32_t* targets_of(const LossHeadArgs& args, int64_t i, int64_t j, const Slot& s) const {
    for (int64_t r = 0; r < rows_.length(i); ++r)
      s.targets[r] = args.targets[rows_.begin(i) + r] - static_cast<int32_t>(columns_.begin(j));
    return s.targets;
  }
  void pack_strips(const LossHeadArgs& args, char* scratch, int64_t i, uint32_t* to) const {
    const Tile t = tile(i, 0);
    parallel_tasks(threads_, t.strips(), [&](int64_t k, int slot) {
      const int64_t first = k * lanes;
      const flash::Source from{x_of(args, i) + first * t.width, t.width, t.width, DType::bf16, 2};
      flash::pack_strip(from, std::min(lanes, t.rows - first), to + first * t.channel_pairs(),
                        slot_of(scratch, slot).staging);
    });
  }

  // Of rows that do not exist all is 0, and so is their d. p - 1 at the target as an exact difference, not p d_loss - d_loss.
  void keep_rows(const Tile& t, const float* loss, const float* d_loss, float* to_d_loss, float* at_target) const {
    for (int64_t r = 0; r < t.padded_rows(); ++r) to_d_loss[r] = r < t.rows ? d_loss[r] : 0.0F;
    for (int64_t r = 0; r < t.padded_rows(); r += Lanes::width) {
      const int64_t n = std::clamp<int64_t>(t.rows - r, 0, Lanes::width);
      const Lanes p = exp(Lanes(0.0F) - load(loss + r, n));
      store(at_target + r, (p - Lanes(1.0F)) * load(to_d_loss + r));
    }
  }

  // ---- loss, and gradients with a row's exponentials kept
  void run_rows(const LossHeadArgs& args, char* scratch, int64_t i) override {
    const Shared shared(*this, scratch);
    const Tile whole = tile(i, 0);
    std::fill_n(shared.at, whole.padded_rows(), 0.0F);
    pack_strips(args, scratch, i, shared.strips);
    parallel_tasks(threads_, columns_.pieces(), [&](int64_t j, int slot) {
      const Slot s = slot_of(scratch, slot);
      const int64_t at = j * whole.padded_rows();
      loss_head::avx512_bf16.exponentials(
          tile(i, j), weight_of(args, j, s), shared.strips,
          {.targets = targets_of(args, i, j, s), .top = shared.top + at, .total = shared.total + at, .at = shared.at},
          gradients() ? exps_of(shared, j) : s.e);
    });
    float* loss = args.loss + rows_.begin(i);
    losses(whole, shared, loss);
    if (gradients()) gradients_of_rows(args, scratch, i);
  }
  float* exps_of(const Shared& shared, int64_t j) const { return shared.e + j * whole_.logits(); }

  // lse and loss of each row from its tiles
  void losses(const Tile& t, const Shared& shared, float* loss) const {
    const int64_t stride = t.padded_rows();
    for (int64_t r = 0; r < stride; r += Lanes::width) {
      Lanes top = load(shared.top + r), total(0.0F);
      for (int64_t j = 1; j < columns_.pieces(); ++j) top = max(load(shared.top + j * stride + r), top);
      for (int64_t j = 0; j < columns_.pieces(); ++j)
        total = fma(load(shared.total + j * stride + r), exp(load(shared.top + j * stride + r) - top), total);
      alignas(64) float tops[Lanes::width], totals[Lanes::width];
      store(tops, top);
      store(totals, total);
      for (int64_t k = 0; k < std::min<int64_t>(Lanes::width, t.rows - r); ++k)
        loss[r + k] = std::log(totals[k]) - (shared.at[r + k] - tops[k]);
      for (int64_t k = 0; k < Lanes::width; ++k)
        shared.lse[r + k] = r + k < t.rows ? shared.at[r + k] + loss[r + k] : 0.0F;
    }
  }

  // exp(top - lse) d_loss
  void factors(const Tile& t, const Shared& shared, int64_t j, float* to) const {
    for (int64_t r = 0; r < t.padded_rows(); r += Lanes::width) {
      const Lanes p = exp(load(shared.top + j * t.padded_rows() + r) - load(shared.lse + r));
      store(to + r, p * load(shared.d_loss + r));
    }
  }

  void gradients_of_rows(const LossHeadArgs& args, char* scratch, int64_t i) {
    const Shared shared(*this, scratch);
    const auto& loops = loss_head::avx512_bf16;
    const Tile whole = tile(i, 0);
    const int64_t begin = rows_.begin(i), dx_size = whole_.padded_rows() * whole_.padded_width();
    keep_rows(whole, args.loss + begin, args.d_loss + begin, shared.d_loss, shared.at_target);
    loops.pack_pairs(x_of(args, i), whole.rows, whole.padded_rows(), whole.width, shared.pairs);
    parallel_tasks(threads_, groups_, [&](int64_t group, int slot) {
      const Slot s = slot_of(scratch, slot);
      const int64_t first = first_of(group, columns_), end = first_of(group + 1, columns_);
      for (int64_t j = first; j < end; ++j) {
        const Tile t = tile(i, j);
        factors(t, shared, j, s.factor);
        loops.slopes(t, exps_of(shared, j), s.factor, shared.at_target, targets_of(args, i, j, s), s.d_rows,
                     s.d_strips);
        loops.dweight(t, s.d_rows, shared.pairs, i > 0, args.dweight + columns_.begin(j) * t.width);
        loops.dx(t, weight_of(args, j, s), s.d_strips, j > first, s.w_pairs, shared.dx + group * dx_size);
      }
    });
    write_dx(args, i, shared.dx, groups_);
  }

  // dx of a piece of rows: its partial sums, rounded once
  void write_dx(const LossHeadArgs& args, int64_t i, const float* partials, int64_t count) const {
    const int64_t stride = whole_.padded_rows() * whole_.padded_width();
    uint16_t* to = static_cast<uint16_t*>(args.dx) + rows_.begin(i) * spec_.width;
    parallel_for(threads_, rows_.length(i), [&](int64_t r) {
      add_partials(partials + r * whole_.padded_width(), stride, count, spec_.width, DType::bf16, to + r * spec_.width,
                   1);
    });
  }

  // ---- gradients from logits computed once more
  void run_vocabulary(const LossHeadArgs& args, char* scratch) override {
    const Shared shared(*this, scratch);
    for (int64_t i = 0; i < rows_.pieces(); ++i) {
      const int64_t at = i * whole_.padded_rows(), begin = rows_.begin(i);
      keep_rows(tile(i, 0), args.saved_loss + begin, args.d_loss + begin, shared.d_loss + at, shared.at_target + at);
      target_logits(x_of(args, i), args.weight, args.targets + begin, DType::bf16, rows_.length(i), spec_.width,
                    shared.lse + at, threads_);
      pack_strips(args, scratch, i, shared.strips + at * whole_.channel_pairs());
      for (int64_t r = 0; r < whole_.padded_rows(); ++r)
        shared.lse[at + r] = r < rows_.length(i) ? shared.lse[at + r] + args.saved_loss[begin + r] : 0.0F;
    }
    for (int64_t j = 0; j < columns_.pieces(); ++j) {
      float* dweight = args.dweight + columns_.begin(j) * spec_.width;
      const int64_t size = whole_.classes * spec_.width;
      parallel_tasks(threads_, groups_, [&](int64_t group, int slot) {
        float* sum = group == 0 && !args.fold.apart() ? dweight : shared.partial + group * size;
        const int64_t first = first_of(group, rows_), end = first_of(group + 1, rows_);
        for (int64_t i = first; i < end; ++i)
          gradients_of_tile(args, shared, slot_of(scratch, slot), i, j, i > first, sum);
      });
      finish_slice(dweight, shared.partial, size, groups_, columns_.length(j) * spec_.width, args.fold, threads_);
    }
    for (int64_t i = 0; i < rows_.pieces(); ++i)
      write_dx(args, i, shared.dx + i * whole_.padded_rows() * whole_.padded_width(), 1);
  }

  void gradients_of_tile(const LossHeadArgs& args, const Shared& shared, const Slot& s, int64_t i, int64_t j, bool add,
                         float* dweight) const {
    const auto& loops = loss_head::avx512_bf16;
    const Tile t = tile(i, j);
    const int64_t at = i * whole_.padded_rows();
    const Operands weight = weight_of(args, j, s);
    const int32_t* targets = targets_of(args, i, j, s);
    loops.pack_pairs(x_of(args, i), t.rows, t.padded_rows(), t.width, s.pairs);
    loops.exponentials(t, weight, shared.strips + at * t.channel_pairs(), {.targets = targets, .lse = shared.lse + at},
                       s.e);
    loops.slopes(t, s.e, shared.d_loss + at, shared.at_target + at, targets, s.d_rows, s.d_strips);
    loops.dweight(t, s.d_rows, s.pairs, add, dweight);
    loops.dx(t, weight, s.d_strips, j > 0, s.w_pairs, shared.dx + at * whole_.padded_width());
  }

  Tile whole_;  // none is larger
};

}  // namespace

bool has_bf16_loss_head(const LossHeadSpec& spec) {
  return spec.dtype == DType::bf16 && spec.width % 2 == 0 && usable_isa() == Isa::avx512_bf16;
}

std::unique_ptr<LossHeadImpl> make_bf16_loss_head(const LossHeadSpec& spec, int threads) {
  return std::make_unique<Bf16LossHead>(spec, threads);
}

}  // namespace ringmaster::backend
