// SPDX-License-Identifier: Apache-2.0
// dnnl_matmul: a matrix product as a grid of one-thread products. The grid is a pure function of m, n and k.
#include "backend/cpu/dnnl.h"
#include "backend/cpu/dnnl_primitive.h"

#include <array>

namespace ringmaster::backend {
namespace {

// Even pieces of at most `limit`, in steps of `step`.
Cut cut(int64_t total, int64_t limit, int64_t step) {
  const int64_t even = ceil_div(total, std::max<int64_t>(1, ceil_div(total, limit)));
  return {total, std::max<int64_t>(1, std::min(total, ceil_div(even, step) * step))};
}

}  // namespace

class Matmul::Impl {
 public:
  Impl(const MatmulSpec& spec, int threads) : spec_(spec), threads_(threads), out_(spec.out.value_or(spec.dtype)) {
    CHECK(out_ == spec.dtype || out_ == DType::f32, "a product of {} as {}", name(spec.dtype), name(out_));
    CHECK(!spec.panels || out_ == DType::f32, "sums in {}", name(out_));
    rows_ = cut(spec.m, 512, 16);  // docs/decisions/products-in-pieces.md
    columns_ = cut(spec.n, 768, 64);
    // small matrices are cut finer to occupy 8 threads, rows first; the smallest are done sooner than threads wake
    const double products = static_cast<double>(spec.batch * spec.m) * static_cast<double>(spec.n * spec.k);
    if (products < 1e6) threads_ = 1;
    while (tasks() < 8 && products > 2e6 && (rows_.size > 64 || columns_.size > 128)) {
      if (rows_.size > 128 || columns_.size <= 128) {
        rows_ = cut(spec.m, ceil_div(rows_.size, 2), 16);
      } else {
        columns_ = cut(spec.n, ceil_div(columns_.size, 2), 64);
      }
    }
    if (tasks() == 0) return;
    const OneThread one;
    narrow_ = spec.dtype != DType::f32 && !(spec.dtype == DType::bf16 && prepare(DType::bf16));
    if (spec.dtype == DType::f32 || narrow_) CHECK(prepare(DType::f32), "oneDNN has no f32 matmul");
  }

  int64_t scratch_bytes() const { return wide_bytes() + std::min<int64_t>(threads_, tasks()) * piece_bytes(); }

  void run(const void* a, const void* b, const void* bias, void* c, void* scratch, const Fold& fold) {
    if (!narrow_) {
      multiply(a, b, bias, c, scratch, fold);
      return;
    }
    char* at = static_cast<char*>(scratch);
    const auto take = [&](int64_t elements) {
      char* p = at;
      at += aligned(elements * 4);
      return p;
    };
    char *wide_a = take(a_elements()), *wide_b = take(b_elements()), *wide_bias = take(spec_.n);
    char* wide_c = rounds() ? take(c_elements()) : static_cast<char*>(c);
    widen_all(a, wide_a, a_elements());
    widen_all(b, wide_b, b_elements());
    if (spec_.bias) widen_all(bias, wide_bias, spec_.n);
    multiply(wide_a, wide_b, wide_bias, wide_c, at, fold);
    if (!rounds()) return;
    for_pieces(c_elements(), [&](int64_t begin, int64_t n) {
      narrow(reinterpret_cast<const float*>(wide_c) + begin, spec_.dtype, offset(c, begin * 2), n);
    });
  }

 private:
  int64_t a_elements() const { return spec_.batch * spec_.m * spec_.k; }
  int64_t b_elements() const { return spec_.batch * spec_.k * spec_.n; }
  int64_t c_elements() const { return spec_.batch * spec_.m * spec_.n; }
  int64_t tasks() const { return spec_.batch * rows_.pieces() * columns_.pieces(); }
  bool rounds() const { return out_ != DType::f32; }
  int64_t wide_bytes() const {
    return narrow_ ? aligned(a_elements() * 4) + aligned(b_elements() * 4) + aligned(spec_.n * 4) +
                         (rounds() ? aligned(c_elements() * 4) : 0)
                   : 0;
  }
  int64_t piece_bytes() const {
    int64_t bytes = 0;
    for (const Prepared& p : pieces_) bytes = std::max(bytes, p.scratch_bytes());
    for (const Prepared& p : panels_) bytes = std::max(bytes, p.scratch_bytes());
    return bytes + panel_bytes();
  }
  int64_t panel_bytes() const { return spec_.panels ? aligned(rows_.size * columns_.size * 4) : 0; }

  template <typename Body> void for_pieces(int64_t n, const Body& body) const {
    constexpr int64_t piece = 16384;
    parallel_for(n < piece ? 1 : threads_, ceil_div(n, piece),
                 [&](int64_t i) { body(i * piece, std::min(piece, n - i * piece)); });
  }
  void widen_all(const void* from, char* to, int64_t n) const {
    for_pieces(n, [&](int64_t begin, int64_t count) {
      widen(offset(from, begin * 2), spec_.dtype, reinterpret_cast<float*>(to) + begin, count);
    });
  }

  // Primitives for whole and last pieces of both dims; false if oneDNN computes this dtype only by its reference loops.
  bool prepare(DType dtype) {
    pieces_.clear();
    panels_.clear();
    for (const bool last_rows : {false, true})
      for (const bool last_columns : {false, true}) {
        const int64_t m = rows_.length(last_rows ? rows_.pieces() - 1 : 0);
        const int64_t n = columns_.length(last_columns ? columns_.pieces() - 1 : 0);
        if (!prepare_piece(dtype, m, n, spec_.n, pieces_)) return false;
        if (spec_.panels && !prepare_piece(dtype, m, n, columns_.size, panels_)) return false;
      }
    return true;
  }

  bool prepare_piece(DType dtype, int64_t m, int64_t n, int64_t row_of_c, std::vector<Prepared>& made) {
    const auto type = data_type(dtype);
    const int64_t k = spec_.k;
    const memory::desc a({m, k}, type, spec_.transpose_a ? memory::dims{1, spec_.m} : memory::dims{k, 1});
    const memory::desc b({k, n}, type, spec_.transpose_b ? memory::dims{1, k} : memory::dims{spec_.n, 1});
    const memory::desc c({m, n}, rounds() ? type : data_type(DType::f32), {row_of_c, 1}), bias({1, n}, type, {n, 1});
    auto piece = backend::prepare(
        {.dtype = dtype, .a = a, .b = b, .c = c, .bias = spec_.bias ? std::optional(bias) : std::nullopt}, threads_);
    if (!piece) return false;
    made.push_back(std::move(*piece));
    return true;
  }

  void multiply(const void* a, const void* b, const void* bias, void* c, void* scratch, const Fold& fold) {
    const int64_t size = narrow_ ? 4 : size_of(spec_.dtype), bytes = piece_bytes();
    const int64_t size_c = narrow_ ? 4 : size_of(out_);
    const int64_t per_batch = rows_.pieces() * columns_.pieces();
    for_tasks(tasks(), threads_, "matmul", [&](int64_t task, int slot) {
      const int64_t batch = task / per_batch, i = task % per_batch / columns_.pieces(), j = task % columns_.pieces();
      const int64_t row = rows_.begin(i), column = columns_.begin(j);
      const int64_t at_a = batch * spec_.m * spec_.k + (spec_.transpose_a ? row : row * spec_.k);
      const int64_t at_b = batch * spec_.k * spec_.n + (spec_.transpose_b ? column * spec_.k : column);
      const int64_t at_c = (batch * spec_.m + row) * spec_.n + column;
      char *const panel = offset(scratch, slot * bytes), *const to = offset(c, at_c * size_c);
      const std::array<void*, 4> data{offset(a, at_a * size), offset(b, at_b * size), fold.apart() ? panel : to,
                                      spec_.bias ? offset(bias, column * size) : nullptr};
      Prepared& piece =
          (fold.apart() ? panels_ : pieces_)[(rows_.is_tail(i) ? 2U : 0U) + (columns_.is_tail(j) ? 1U : 0U)];
      const bool ok = piece.run(slot, std::span(data).first(spec_.bias ? 4 : 3), panel + panel_bytes());
      if (fold.apart()) fold_panel(panel, to, rows_.length(i), columns_.length(j), fold);
      return ok;
    });
  }

  void fold_panel(const void* panel, void* c, int64_t rows, int64_t columns, const Fold& fold) const {
    for (int64_t i = 0; i < rows; ++i)
      fold(static_cast<const float*>(panel) + i * columns_.size, static_cast<float*>(c) + i * spec_.n, columns);
  }

  MatmulSpec spec_;
  int threads_;
  DType out_;
  Cut rows_{}, columns_{};
  std::vector<Prepared> panels_;  // as pieces_, each into a panel of its own
  std::vector<Prepared> pieces_;  // whole x whole, whole x last, last x whole, last x last
  bool narrow_ = false;           // 16-bit data that this oneDNN computes in f32
};

Matmul::Matmul(const MatmulSpec& spec, int threads) : impl_(std::make_unique<Impl>(spec, threads)) {}
Matmul::~Matmul() = default;
int64_t Matmul::scratch_bytes() const { return impl_->scratch_bytes(); }
void Matmul::run(const void* a, const void* b, const void* bias, void* c, void* scratch) {
  impl_->run(a, b, bias, c, scratch, {});
}
void Matmul::run_fold(const void* a, const void* b, const void* bias, void* c, void* scratch, const Fold& fold) {
  impl_->run(a, b, bias, c, scratch, fold);
}

}  // namespace ringmaster::backend
