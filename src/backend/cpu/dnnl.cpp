// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/dnnl.h"

#include "backend/cpu/lanes.h"
#include "core/error.h"

#include <omp.h>
#include <dnnl.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace ringmaster::backend {
namespace {

using dnnl::memory;
constexpr int64_t alignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// oneDNN asks OpenMP for its number of threads, when a primitive is prepared and when it runs.
class OneThread {
 public:
  OneThread() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(saved_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int saved_;
};

memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

struct Arg {
  int id;
  memory::desc desc;
};

// A primitive prepared for one thread, with memory objects for each slot (thread) that may run it.
class Prepared {
 public:
  template <typename Pd>
  Prepared(const Pd& pd, const dnnl::primitive& primitive, std::vector<Arg> args, int slots)
      : primitive_(primitive), scratch_bytes_(aligned(static_cast<int64_t>(pd.scratchpad_desc().get_size()))) {
    args.push_back({DNNL_ARG_SCRATCHPAD, pd.scratchpad_desc()});
    for (int slot = 0; slot < slots; ++slot) {
      Slot s{dnnl::stream(cpu()), {}, {}};
      for (const Arg& arg : args) {
        s.memories.emplace_back(arg.desc, cpu(), nullptr);
        s.args.push_back({arg.id, s.memories.back().get()});
      }
      slots_.push_back(std::move(s));
    }
  }

  int64_t scratch_bytes() const { return scratch_bytes_; }

  // data: one pointer an argument. Runs on the calling thread; false if oneDNN refused.
  bool run(int slot, std::span<void* const> data, void* scratch) {
    const Slot& s = slots_[static_cast<size_t>(slot)];
    for (size_t i = 0; i < data.size(); ++i)
      if (dnnl_memory_set_data_handle(s.args[i].memory, data[i]) != dnnl_success) return false;
    if (dnnl_memory_set_data_handle(s.args.back().memory, scratch) != dnnl_success) return false;
    return dnnl_primitive_execute(primitive_.get(), s.stream.get(), static_cast<int>(s.args.size()), s.args.data()) ==
           dnnl_success;
  }

 private:
  struct Slot {
    dnnl::stream stream;
    std::vector<memory> memories;
    std::vector<dnnl_exec_arg_t> args;  // of `memories`
  };
  dnnl::primitive primitive_;
  int64_t scratch_bytes_;
  std::vector<Slot> slots_;
};

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// Deals tasks 0..n-1 to the threads; body(task, slot) returns whether it succeeded.
template <typename Body> void for_tasks(int64_t n, int threads, const char* what, const Body& body) {
  if (n == 0) return;
  std::atomic<bool> ok = true;
#pragma omp parallel num_threads(static_cast <int>(std::min <int64_t>(threads, n)))
  {
    const OneThread one;
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < n; ++task)
      if (!body(task, omp_get_thread_num())) ok = false;
  }
  CHECK(ok, "oneDNN {} failed", what);
}

void widen(const void* from, DType dtype, float* to, int64_t n) {
  const auto run = [&]<typename T>(const T* p) {
    for_lanes(n, [&](int64_t i, int64_t count) { store(to + i, load(p + i, count), count); });
  };
  if (dtype == DType::bf16) run(static_cast<const bf16*>(from));
  if (dtype == DType::f16) run(static_cast<const f16*>(from));
}
void narrow(const float* from, DType dtype, void* to, int64_t n) {
  const auto run = [&]<typename T>(T* p) {
    for_lanes(n, [&](int64_t i, int64_t count) { store(p + i, load(from + i, count), count); });
  };
  if (dtype == DType::bf16) run(static_cast<bf16*>(to));
  if (dtype == DType::f16) run(static_cast<f16*>(to));
}

char* offset(void* p, int64_t bytes) { return static_cast<char*>(p) + bytes; }
char* offset(const void* p, int64_t bytes) {
  return offset(const_cast<void*>(p), bytes);
}  // oneDNN takes inputs as void*

// How a dim is cut: pieces of `size`, the last one perhaps shorter.
struct Cut {
  int64_t total, size;
  int64_t pieces() const { return ceil_div(total, size); }
  int64_t begin(int64_t i) const { return i * size; }
  int64_t length(int64_t i) const { return std::min(size, total - begin(i)); }
  bool is_tail(int64_t i) const { return length(i) != size; }
};

// Even pieces of at most `limit`, in steps of `step`.
Cut cut(int64_t total, int64_t limit, int64_t step) {
  const int64_t even = ceil_div(total, std::max<int64_t>(1, ceil_div(total, limit)));
  return {total, std::max<int64_t>(1, std::min(total, ceil_div(even, step) * step))};
}

}  // namespace

std::string_view dnnl_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = ::dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
  }();
  return text;
}

// ---- matmul

class Matmul::Impl {
 public:
  Impl(const MatmulSpec& spec, int threads) : spec_(spec), threads_(threads) {
    // 256 x 512 pieces ran at the machine's peak on every GPT shape; small matrices are cut finer to occupy 8 threads
    rows_ = cut(spec.m, 256, 16);
    columns_ = cut(spec.n, 512, 64);
    while (tasks() < 8 && spec.m * spec.n * spec.k > (int64_t{1} << 21) && (rows_.size > 64 || columns_.size > 128)) {
      if (rows_.size * 2 >= columns_.size && rows_.size > 64) {
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

  void run(const void* a, const void* b, const void* bias, void* c, void* scratch) {
    if (!narrow_) {
      multiply(a, b, bias, c, scratch);
      return;
    }
    char* at = static_cast<char*>(scratch);
    const auto take = [&](int64_t elements) {
      char* p = at;
      at += aligned(elements * 4);
      return p;
    };
    char *wide_a = take(a_elements()), *wide_b = take(b_elements()), *wide_bias = take(spec_.n),
         *wide_c = take(c_elements());
    widen_all(a, wide_a, a_elements());
    widen_all(b, wide_b, b_elements());
    if (spec_.bias) widen_all(bias, wide_bias, spec_.n);
    multiply(wide_a, wide_b, wide_bias, wide_c, at);
    for_pieces(c_elements(), [&](int64_t begin, int64_t n) {
      narrow(reinterpret_cast<const float*>(wide_c) + begin, spec_.dtype, offset(c, begin * 2), n);
    });
  }

 private:
  int64_t a_elements() const { return spec_.batch * spec_.m * spec_.k; }
  int64_t b_elements() const { return spec_.batch * spec_.k * spec_.n; }
  int64_t c_elements() const { return spec_.batch * spec_.m * spec_.n; }
  int64_t tasks() const { return spec_.batch * rows_.pieces() * columns_.pieces(); }
  int64_t wide_bytes() const {
    return narrow_ ? aligned(a_elements() * 4) + aligned(b_elements() * 4) + aligned(spec_.n * 4) +
                         aligned(c_elements() * 4)
                   : 0;
  }
  int64_t piece_bytes() const {
    int64_t bytes = 0;
    for (const Prepared& p : pieces_) bytes = std::max(bytes, p.scratch_bytes());
    return bytes;
  }

  template <typename Body> void for_pieces(int64_t n, const Body& body) const {
    constexpr int64_t piece = 16384;
#pragma omp parallel for num_threads(n < piece ? 1 : threads_) schedule(static)
    for (int64_t begin = 0; begin < n; begin += piece) body(begin, std::min(piece, n - begin));
  }
  void widen_all(const void* from, char* to, int64_t n) const {
    for_pieces(n, [&](int64_t begin, int64_t count) {
      widen(offset(from, begin * 2), spec_.dtype, reinterpret_cast<float*>(to) + begin, count);
    });
  }

  // Primitives for whole and last pieces of both dims; false if oneDNN computes this dtype only by its reference loops.
  bool prepare(DType dtype) {
    pieces_.clear();
    for (const bool last_rows : {false, true})
      for (const bool last_columns : {false, true}) {
        const int64_t m = rows_.length(last_rows ? rows_.pieces() - 1 : 0);
        const int64_t n = columns_.length(last_columns ? columns_.pieces() - 1 : 0);
        if (!prepare_piece(dtype, m, n)) return false;
      }
    return true;
  }

  bool prepare_piece(DType dtype, int64_t m, int64_t n) {
    const auto type = data_type(dtype);
    const int64_t k = spec_.k;
    const memory::desc a({m, k}, type, spec_.transpose_a ? memory::dims{1, spec_.m} : memory::dims{k, 1});
    const memory::desc b({k, n}, type, spec_.transpose_b ? memory::dims{1, k} : memory::dims{spec_.n, 1});
    const memory::desc c({m, n}, type, {spec_.n, 1}), bias({1, n}, type, {n, 1});
    const dnnl::primitive_attr attr = user_scratchpad();
    std::vector<Arg> args{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    if (spec_.bias) args.push_back({DNNL_ARG_BIAS, bias});
    try {
#if DNNL_VERSION_MAJOR >= 3
      const auto pd = spec_.bias ? dnnl::matmul::primitive_desc(cpu(), a, b, bias, c, attr)
                                 : dnnl::matmul::primitive_desc(cpu(), a, b, c, attr);
#else
      const auto pd = dnnl::matmul::primitive_desc(
          spec_.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c), attr, cpu());
#endif
      if (dtype != DType::f32 && std::string_view(pd.impl_info_str()).starts_with("ref")) return false;
      pieces_.emplace_back(pd, dnnl::matmul(pd), std::move(args), threads_);
      return true;
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) return false;
      throw;
    }
  }

  void multiply(const void* a, const void* b, const void* bias, void* c, void* scratch) {
    const int64_t size = narrow_ ? 4 : size_of(spec_.dtype), bytes = piece_bytes();
    const int64_t per_batch = rows_.pieces() * columns_.pieces();
    for_tasks(tasks(), threads_, "matmul", [&](int64_t task, int slot) {
      const int64_t batch = task / per_batch, i = task % per_batch / columns_.pieces(), j = task % columns_.pieces();
      const int64_t row = rows_.begin(i), column = columns_.begin(j);
      const int64_t at_a = batch * spec_.m * spec_.k + (spec_.transpose_a ? row : row * spec_.k);
      const int64_t at_b = batch * spec_.k * spec_.n + (spec_.transpose_b ? column * spec_.k : column);
      const int64_t at_c = (batch * spec_.m + row) * spec_.n + column;
      const std::array<void*, 4> data{offset(a, at_a * size), offset(b, at_b * size), offset(c, at_c * size),
                                      spec_.bias ? offset(bias, column * size) : nullptr};
      Prepared& piece = pieces_[(rows_.is_tail(i) ? 2U : 0U) + (columns_.is_tail(j) ? 1U : 0U)];
      return piece.run(slot, std::span(data).first(spec_.bias ? 4 : 3), offset(scratch, slot * bytes));
    });
  }

  MatmulSpec spec_;
  int threads_;
  Cut rows_{}, columns_{};
  std::vector<Prepared> pieces_;  // whole x whole, whole x last, last x whole, last x last
  bool narrow_ = false;           // 16-bit data that this oneDNN computes in f32
};

Matmul::Matmul(const MatmulSpec& spec, int threads) : impl_(std::make_unique<Impl>(spec, threads)) {}
Matmul::~Matmul() = default;
int64_t Matmul::scratch_bytes() const { return impl_->scratch_bytes(); }
void Matmul::run(const void* a, const void* b, const void* bias, void* c, void* scratch) {
  impl_->run(a, b, bias, c, scratch);
}

// ---- rows

class Rows::Impl {
 public:
  Impl(const RowsSpec& spec, int threads) : spec_(spec), threads_(threads) {
    constexpr int64_t tile_elements = 16384;  // 64 KiB: tiles of three tensors stay in L2
    tile_ = {spec.rows,
             std::clamp<int64_t>(tile_elements / std::max<int64_t>(spec.width, 1), 1, std::max<int64_t>(spec.rows, 1))};
    if (spec.rows * spec.width == 0) return;
    const OneThread one;
    prepare(tile_.length(0));
    if (tile_.is_tail(tile_.pieces() - 1)) prepare(tile_.length(tile_.pieces() - 1));
  }

  int64_t scratch_bytes() const { return std::min<int64_t>(threads_, tasks()) * slot_bytes(); }

  void run(std::span<const void* const> in, std::span<void* const> out, void* scratch) {
    for_tasks(tasks(), threads_, "row primitive", [&](int64_t task, int slot) {
      std::array<void*, 6> data{};
      char* at = offset(scratch, slot * slot_bytes());
      const int64_t begin = tile_.begin(task), rows = tile_.length(task);
      for (size_t i = 0; i < roles_.size(); ++i) {
        const Role& role = roles_[i];
        const bool input = i < in.size();
        void* base = input ? const_cast<void*>(in[i]) : out[i - in.size()];
        data[i] = offset(base, role.shared ? 0 : begin * role.width * size(role));
        if (!role.wide) continue;
        float* tile = reinterpret_cast<float*>(at);
        at += aligned(tile_.size * role.width * 4);
        if (input) widen(data[i], spec_.dtype, tile, rows * role.width);
        data[i] = tile;
      }
      Prepared& primitive = primitives_[tile_.is_tail(task) ? 1 : 0];
      if (!primitive.run(slot, std::span(data).first(roles_.size()), at)) return false;
      for (size_t i = in.size(); i < roles_.size(); ++i) {
        const Role& role = roles_[i];
        if (!role.wide) continue;
        narrow(static_cast<float*>(data[i]), spec_.dtype, offset(out[i - in.size()], begin * role.width * 2),
               rows * role.width);
      }
      return true;
    });
  }

 private:
  // An argument: `width` elements a row, or one vector that all rows share; `wide`: 16-bit in memory, computed in f32.
  struct Role {
    int64_t width;
    bool shared, wide;
  };

  int64_t tasks() const { return primitives_.empty() ? 0 : tile_.pieces(); }
  int64_t size(const Role& role) const { return role.wide ? size_of(spec_.dtype) : 4; }
  int64_t slot_bytes() const {
    int64_t bytes = 0, tiles = 0;
    for (const Prepared& p : primitives_) bytes = std::max(bytes, p.scratch_bytes());
    for (const Role& role : roles_) tiles += role.wide ? aligned(tile_.size * role.width * 4) : 0;
    return bytes + tiles;
  }

  void prepare(int64_t rows) {
    const bool flat = spec_.kind == RowsSpec::gelu || spec_.kind == RowsSpec::gelu_grad;
    const auto f32 = memory::data_type::f32;
    const memory::desc x =
        flat ? memory::desc({rows * spec_.width}, f32, {1}) : memory::desc({rows, spec_.width}, f32, {spec_.width, 1});
    const Role data{spec_.width, false, spec_.dtype != DType::f32};
    switch (spec_.kind) {
      case RowsSpec::gelu:
        roles_ = {data, data};
        add(gelu(x), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, x}});
        return;
      case RowsSpec::gelu_grad:
        roles_ = {data, data, data};
        add(gelu_grad(x), {{DNNL_ARG_DIFF_DST, x}, {DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_SRC, x}});
        return;
      case RowsSpec::softmax:
        roles_ = {data, data};
        add(softmax(x), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, x}});
        return;
      case RowsSpec::layer_norm: {
        const Role vector{spec_.width, true, false}, statistic{1, false, false};
        roles_ = {data, vector, vector, data, statistic, statistic};
        const memory::desc v({spec_.width}, f32, {1}), s({rows}, f32, {1});
        add(layer_norm(x, s), {{DNNL_ARG_SRC, x},
                               {DNNL_ARG_SCALE, v},
                               {DNNL_ARG_SHIFT, v},
                               {DNNL_ARG_DST, x},
                               {DNNL_ARG_MEAN, s},
                               {DNNL_ARG_VARIANCE, s}});
        return;
      }
    }
  }

  template <typename Pd> void add(const std::pair<Pd, dnnl::primitive>& made, std::vector<Arg> args) {
    primitives_.emplace_back(made.first, made.second, std::move(args), threads_);
  }

  // The descriptors take different arguments in oneDNN 2 and 3; nothing else differs.
  static auto gelu_forward_desc(const memory::desc& x) {
    constexpr auto prop = dnnl::prop_kind::forward_training;
    constexpr auto algorithm = dnnl::algorithm::eltwise_gelu_tanh;
    using Op = dnnl::eltwise_forward;
#if DNNL_VERSION_MAJOR >= 3
    return Op::primitive_desc(cpu(), prop, algorithm, x, x, 0.0F, 0.0F, user_scratchpad());
#else
    return Op::primitive_desc(Op::desc(prop, algorithm, x, 0.0F, 0.0F), user_scratchpad(), cpu());
#endif
  }
  static std::pair<dnnl::eltwise_forward::primitive_desc, dnnl::primitive> gelu(const memory::desc& x) {
    const auto pd = gelu_forward_desc(x);
    return {pd, dnnl::eltwise_forward(pd)};
  }
  static std::pair<dnnl::eltwise_backward::primitive_desc, dnnl::primitive> gelu_grad(const memory::desc& x) {
    constexpr auto algorithm = dnnl::algorithm::eltwise_gelu_tanh;
    using Op = dnnl::eltwise_backward;
#if DNNL_VERSION_MAJOR >= 3
    const Op::primitive_desc pd(cpu(), algorithm, x, x, x, 0.0F, 0.0F, gelu_forward_desc(x), user_scratchpad());
#else
    const Op::primitive_desc pd(Op::desc(algorithm, x, x, 0.0F, 0.0F), user_scratchpad(), cpu(), gelu_forward_desc(x));
#endif
    return {pd, Op(pd)};
  }
  static std::pair<dnnl::softmax_forward::primitive_desc, dnnl::primitive> softmax(const memory::desc& x) {
    constexpr auto prop = dnnl::prop_kind::forward_training;
    using Op = dnnl::softmax_forward;
#if DNNL_VERSION_MAJOR >= 3
    const Op::primitive_desc pd(cpu(), prop, dnnl::algorithm::softmax_accurate, x, x, 1, user_scratchpad());
#else
    const Op::primitive_desc pd(Op::desc(prop, x, 1), user_scratchpad(), cpu());
#endif
    return {pd, Op(pd)};
  }
  std::pair<dnnl::layer_normalization_forward::primitive_desc, dnnl::primitive> layer_norm(
      const memory::desc& x, const memory::desc& s) const {
    constexpr auto prop = dnnl::prop_kind::forward_training;
    const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
    const auto eps = static_cast<float>(spec_.eps);
    using Op = dnnl::layer_normalization_forward;
#if DNNL_VERSION_MAJOR >= 3
    const Op::primitive_desc pd(cpu(), prop, x, x, s, eps, flags, user_scratchpad());
#else
    const Op::primitive_desc pd(Op::desc(prop, x, s, eps, flags), user_scratchpad(), cpu());
#endif
    return {pd, Op(pd)};
  }

  RowsSpec spec_;
  int threads_;
  Cut tile_{};
  std::vector<Role> roles_;           // inputs, then outputs
  std::vector<Prepared> primitives_;  // for whole tiles; for the last one
};

Rows::Rows(const RowsSpec& spec, int threads) : impl_(std::make_unique<Impl>(spec, threads)) {}
Rows::~Rows() = default;
int64_t Rows::scratch_bytes() const { return impl_->scratch_bytes(); }
void Rows::run(std::initializer_list<const void*> in, std::initializer_list<void*> out, void* scratch) {
  impl_->run({in.begin(), in.size()}, {out.begin(), out.size()}, scratch);
}

}  // namespace ringmaster::backend
