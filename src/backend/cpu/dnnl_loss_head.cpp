// SPDX-License-Identifier: Apache-2.0
// dnnl_loss_head: a tile of 256 rows x 512 classes and the operands of its products stay in L2; each product is one oneDNN
// primitive on one thread. Measured at C = 768 in bf16, such a tile runs at the rate of operands that oneDNN packed before.
#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/loss_head_impl.h"
#include "backend/cpu/loss_head_rows.h"

#include <array>
#include <cstring>

namespace ringmaster::backend {
namespace {

constexpr int64_t whole_columns = 512;

// One kind of product over whole and last pieces of rows and columns.
struct Pieces {
  std::array<std::optional<Prepared>, 4> of;
  Prepared& at(bool last_row, bool last_column) { return *of[(last_row ? 2U : 0U) + (last_column ? 1U : 0U)]; }
};

class DnnlLossHead : public LossHeadImpl {
 public:
  DnnlLossHead(const LossHeadSpec& spec, int threads) : LossHeadImpl(spec, threads, 16, whole_columns) {
    if (spec.n == 0) return;
    const OneThread one;
    dtype_ = spec.dtype == DType::bf16 && prepare_all(DType::bf16) ? DType::bf16 : DType::f32;
    if (dtype_ == DType::f32) CHECK(prepare_all(DType::f32), "oneDNN has no f32 matmul");
    lay_out();
  }

  int64_t scratch_bytes() const override {
    return shared_bytes_ + std::min<int64_t>(threads_, std::max(columns_.pieces(), groups_)) * slot_bytes_;
  }

 private:
  enum Kind : uint8_t { logits, first_dx, more_dx, first_dweight, more_dweight, kinds };
  // Where things lie in the scratch of a thread.
  struct Slot {
    float* logits;
    char *d, *wide_d, *wide_x, *wide_weight, *product;
  };

  bool widens() const { return dtype_ != spec_.dtype; }
  int64_t size() const { return size_of(spec_.dtype); }

  bool prepare_all(DType dtype) {
    for (uint8_t kind = 0; kind < (spec_.kind == LossHeadSpec::loss ? first_dx : kinds); ++kind)
      for (const bool last_row : {false, true})
        for (const bool last_column : {false, true}) {
          const int64_t r = rows_.length(last_row ? rows_.pieces() - 1 : 0);
          const int64_t v = columns_.length(last_column ? columns_.pieces() - 1 : 0);
          auto made = prepare(product(static_cast<Kind>(kind), dtype, r, v), threads_);
          if (!made) return false;
          products_[kind].of[(last_row ? 2U : 0U) + (last_column ? 1U : 0U)].emplace(std::move(*made));
        }
    return true;
  }

  Product product(Kind kind, DType dtype, int64_t r, int64_t v) const {
    const int64_t c = spec_.width;
    const auto plain = [](DType of, int64_t m, int64_t n) { return memory::desc({m, n}, data_type(of), {n, 1}); };
    const auto transposed = [&](int64_t m, int64_t n) { return memory::desc({m, n}, data_type(dtype), {1, m}); };
    Product p{.dtype = dtype, .accumulate = kind == more_dx || kind == more_dweight};
    switch (kind) {
      case logits: p.a = plain(dtype, r, c), p.b = transposed(c, v), p.c = plain(DType::f32, r, v); break;
      case first_dx:
      case more_dx: p.a = plain(dtype, r, v), p.b = plain(dtype, v, c), p.c = plain(DType::f32, r, c); break;
      default: p.a = transposed(v, r), p.b = plain(dtype, r, c), p.c = plain(DType::f32, v, c);
    }
    return p;
  }

  // ---- scratch
  void lay_out() {
    const int64_t r = rows_.size, v = columns_.size, c = spec_.width;
    const auto shared = [&](int64_t bytes) { return std::exchange(shared_bytes_, shared_bytes_ + aligned(bytes)); };
    const auto own = [&](int64_t bytes) { return std::exchange(slot_bytes_, slot_bytes_ + aligned(bytes)); };
    const bool vocabulary = slices();
    at_ = shared((vocabulary ? spec_.n : r) * 4);
    if (!vocabulary) {
      top_ = shared(r * columns_.pieces() * 4);
      total_ = shared(r * columns_.pieces() * 4);
    }
    if (spec_.kind == LossHeadSpec::rows) {
      exps_ = shared(r * columns_.pieces() * v * 4);
      partial_ = shared(groups_ * r * c * 4);
    }
    if (vocabulary) {
      partial_ = shared(groups_ * v * c * 4);
      if (spec_.dtype != DType::f32) dx_ = shared(spec_.n * c * 4);
    }
    if (spec_.kind != LossHeadSpec::rows) own_logits_ = own(r * v * 4);
    if (gradients()) own_d_ = own(r * v * size());
    if (widens()) {
      if (gradients()) own_wide_d_ = own(r * v * 4);
      own_wide_x_ = own(r * c * 4);
      own_wide_weight_ = own(v * c * 4);
    }
    own_product_ = slot_bytes_;
    int64_t most = 0;
    for (const Pieces& pieces : products_)
      for (const auto& piece : pieces.of) most = std::max(most, piece ? piece->scratch_bytes() : 0);
    own(most);
  }
  float* shared_floats(char* scratch, int64_t at) const { return reinterpret_cast<float*>(scratch + at); }
  Slot slot_of(char* scratch, int slot) const {
    char* base = scratch + shared_bytes_ + slot * slot_bytes_;
    return {.logits = reinterpret_cast<float*>(base + own_logits_),
            .d = base + own_d_,
            .wide_d = base + own_wide_d_,
            .wide_x = base + own_wide_x_,
            .wide_weight = base + own_wide_weight_,
            .product = base + own_product_};
  }

  // A factor of a product: as it lies, or widened.
  void* factor(const void* p, int64_t elements, char* wide) const {
    if (!widens()) return offset(p, 0);
    widen(p, spec_.dtype, reinterpret_cast<float*>(wide), elements);
    return wide;
  }
  void* x_of(const LossHeadArgs& args, int64_t i, const Slot& s) const {
    return factor(offset(args.x, rows_.begin(i) * spec_.width * size()), rows_.length(i) * spec_.width, s.wide_x);
  }
  void* weight_of(const LossHeadArgs& args, int64_t j, const Slot& s) const {
    return factor(offset(args.weight, columns_.begin(j) * spec_.width * size()), columns_.length(j) * spec_.width,
                  s.wide_weight);
  }
  bool multiply(Kind kind, int64_t i, int64_t j, int slot, void* a, void* b, void* c, const Slot& s) {
    return products_[kind]
        .at(rows_.is_tail(i), columns_.is_tail(j))
        .run(slot, std::array<void*, 3>{a, b, c}, s.product);
  }

  // ---- loss, and gradients with a row's exponentials kept
  void run_rows(const LossHeadArgs& args, char* scratch, int64_t i) override {
    const RowsOfTiles tiles{.rows = rows_.length(i),
                            .columns = columns_.total,
                            .tile = columns_.size,
                            .targets = args.targets + rows_.begin(i),
                            .at = shared_floats(scratch, at_),
                            .top = shared_floats(scratch, top_),
                            .total = shared_floats(scratch, total_)};
    for_tasks(columns_.pieces(), threads_, "logits", [&](int64_t j, int slot) {
      const Slot s = slot_of(scratch, slot);
      float* tile = gradients() ? exps_of(scratch, j) : s.logits;
      if (!multiply(logits, i, j, slot, x_of(args, i, s), weight_of(args, j, s), tile, s)) return false;
      tiles.exponentials(j, tile);
      return true;
    });
    float* loss = args.loss + rows_.begin(i);
    tiles.losses(loss);
    if (!gradients()) return;
    const float* d_loss = args.d_loss + rows_.begin(i);
    tiles.factors(loss, d_loss);
    for_tasks(groups_, threads_, "gradients of logits", [&](int64_t group, int slot) {
      const Slot s = slot_of(scratch, slot);
      const int64_t begin = first_of(group, columns_), end = first_of(group + 1, columns_);
      for (int64_t j = begin; j < end; ++j) {
        tiles.gradients(j, exps_of(scratch, j), loss, d_loss, s.d, spec_.dtype);
        void* d = factor(s.d, tiles.rows * columns_.length(j), s.wide_d);
        float* dweight = args.dweight + columns_.begin(j) * spec_.width;
        float* dx = shared_floats(scratch, partial_) + group * rows_.size * spec_.width;
        const bool ok = multiply(i == 0 ? first_dweight : more_dweight, i, j, slot, d, x_of(args, i, s), dweight, s) &&
                        multiply(j == begin ? first_dx : more_dx, i, j, slot, d, weight_of(args, j, s), dx, s);
        if (!ok) return false;
      }
      return true;
    });
    add_partials(shared_floats(scratch, partial_), rows_.size * spec_.width, groups_, tiles.rows * spec_.width,
                 spec_.dtype, offset(args.dx, rows_.begin(i) * spec_.width * size()), threads_);
  }
  float* exps_of(char* scratch, int64_t j) const {
    return shared_floats(scratch, exps_) + j * rows_.size * columns_.size;
  }

  // ---- gradients from logits computed once more
  void run_vocabulary(const LossHeadArgs& args, char* scratch) override {
    const int64_t c = spec_.width;
    float *at = shared_floats(scratch, at_),
          *dx = spec_.dtype == DType::f32 ? static_cast<float*>(args.dx) : shared_floats(scratch, dx_);
    target_logits(args.x, args.weight, args.targets, spec_.dtype, spec_.n, c, at, threads_);
    float* partial = shared_floats(scratch, partial_);
    for (int64_t j = 0; j < columns_.pieces(); ++j) {
      float* dweight = args.dweight + columns_.begin(j) * c;
      for_tasks(groups_, threads_, "gradients of a slice", [&](int64_t group, int slot) {
        const Slot s = slot_of(scratch, slot);
        float* sum = group == 0 && !args.fold.apart() ? dweight : partial + group * columns_.size * c;
        void* weight = weight_of(args, j, s);
        const int64_t begin = first_of(group, rows_), end = first_of(group + 1, rows_);
        for (int64_t i = begin; i < end; ++i) {
          const int64_t row = rows_.begin(i);
          void* x = x_of(args, i, s);
          if (!multiply(logits, i, j, slot, x, weight, s.logits, s)) return false;
          const SliceOfRows slice{.rows = rows_.length(i), .first = columns_.begin(j), .columns = columns_.length(j)};
          slice.gradients(s.logits, args.targets + row, at + row, args.saved_loss + row, args.d_loss + row, s.d,
                          spec_.dtype);
          void* d = factor(s.d, slice.rows * slice.columns, s.wide_d);
          const bool ok = multiply(i == begin ? first_dweight : more_dweight, i, j, slot, d, x, sum, s) &&
                          multiply(j == 0 ? first_dx : more_dx, i, j, slot, d, weight, dx + row * c, s);
          if (!ok) return false;
        }
        return true;
      });
      finish_slice(dweight, partial, columns_.size * c, groups_, columns_.length(j) * c, args.fold, threads_);
    }
    if (spec_.dtype != DType::f32) add_partials(dx, 0, 1, spec_.n * c, spec_.dtype, args.dx, threads_);
  }

  DType dtype_ = DType::f32;  // of the products
  std::array<Pieces, kinds> products_;
  int64_t shared_bytes_ = 0, slot_bytes_ = 0;
  int64_t at_ = 0, top_ = 0, total_ = 0, exps_ = 0, partial_ = 0, dx_ = 0;  // offsets in the shared part
  int64_t own_logits_ = 0, own_d_ = 0, own_wide_d_ = 0, own_wide_x_ = 0, own_wide_weight_ = 0, own_product_ = 0;
};

}  // namespace

std::unique_ptr<LossHeadImpl> make_dnnl_loss_head(const LossHeadSpec& spec, int threads) {
  return std::make_unique<DnnlLossHead>(spec, threads);
}

}  // namespace ringmaster::backend
