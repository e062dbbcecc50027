// SPDX-License-Identifier: Apache-2.0
// dnnl_rows: row-wise oneDNN primitives over tiles of rows. 16-bit data is widened tile by tile in scratch.
#include "backend/cpu/dnnl.h"
#include "backend/cpu/dnnl_primitive.h"
#include "backend/cpu/lanes.h"
#include "core/with_float.h"

#include <array>

namespace ringmaster::backend {

class Rows::Impl {
 public:
  Impl(const RowsSpec& spec, int threads) : spec_(spec), threads_(threads) {
    constexpr int64_t tile_elements = 16384;  // 64 KiB: tiles of three tensors stay in L2
    tile_ = {spec.rows,
             std::clamp<int64_t>(tile_elements / std::max<int64_t>(spec.width, 1), 1, std::max<int64_t>(spec.rows, 1))};
    if (spec.rows * spec.width == 0) return;
    if (spec.rows * spec.width < 2 * tile_elements) threads_ = 1;  // done sooner than threads wake
    const OneThread one;
    prepare(tile_.length(0));
    if (tile_.is_tail(tile_.pieces() - 1)) prepare(tile_.length(tile_.pieces() - 1));
  }

  int64_t scratch_bytes() const { return std::min<int64_t>(threads_, tasks()) * slot_bytes(); }

  void run(std::span<const void* const> in, std::span<void* const> out, void* scratch, const RowsSum& sum) {
    for_tasks(tasks(), threads_, "row primitive", [&](int64_t task, int slot) {
      std::array<void*, 6> data{};
      char* at = offset(scratch, slot * slot_bytes());
      const int64_t begin = tile_.begin(task), rows = tile_.length(task);
      if (sum.to != nullptr) add_rows(sum, begin * spec_.width, rows * spec_.width);
      for (size_t i = 0; i < roles_.size(); ++i) {
        const Role& role = roles_[i];
        const bool input = i < in.size();
        void* base = input ? const_cast<void*>(in[i]) : out[i - in.size()];
        data[i] = offset(base, role.shared ? 0 : begin * role.width * size_of(role.dtype));
        if (role.dtype == DType::f32) continue;
        float* tile = reinterpret_cast<float*>(at);
        at += aligned(tile_.size * role.width * 4);
        if (input) widen(data[i], role.dtype, tile, rows * role.width);
        data[i] = tile;
      }
      Prepared& primitive = primitives_[tile_.is_tail(task) ? 1 : 0];
      if (!primitive.run(slot, std::span(data).first(roles_.size()), at)) return false;
      for (size_t i = in.size(); i < roles_.size(); ++i) {
        const Role& role = roles_[i];
        if (role.dtype == DType::f32) continue;
        narrow(static_cast<float*>(data[i]), role.dtype, offset(out[i - in.size()], begin * role.width * 2),
               rows * role.width);
      }
      return true;
    });
  }

 private:
  // An argument: `width` elements a row, or one vector that all rows share; of this dtype in memory, computed in f32.
  struct Role {
    int64_t width;
    bool shared;
    DType dtype;
  };

  int64_t tasks() const { return primitives_.empty() ? 0 : tile_.pieces(); }
  int64_t slot_bytes() const {
    int64_t bytes = 0, tiles = 0;
    for (const Prepared& p : primitives_) bytes = std::max(bytes, p.scratch_bytes());
    for (const Role& role : roles_) tiles += role.dtype == DType::f32 ? 0 : aligned(tile_.size * role.width * 4);
    return bytes + tiles;
  }

  // n elements from `begin` on
  void add_rows(const RowsSum& sum, int64_t begin, int64_t n) const {
    with_float(spec_.dtype, [&]<typename T>(T) {
      add_lanes(static_cast<const T*>(sum.a) + begin, static_cast<const T*>(sum.b) + begin,
                static_cast<T*>(sum.to) + begin, n);
    });
  }

  void prepare(int64_t rows) {
    const auto f32 = memory::data_type::f32;
    const memory::desc x({rows, spec_.width}, f32, {spec_.width, 1});
    const Role data{spec_.width, false, spec_.dtype}, result{spec_.width, false, spec_.out.value_or(spec_.dtype)};
    switch (spec_.kind) {
      case RowsSpec::softmax:
        roles_ = {data, result};
        append(softmax(x), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, x}});
        return;
      case RowsSpec::layer_norm: {
        const Role vector{spec_.width, true, DType::f32}, statistic{1, false, DType::f32};
        roles_ = {data, vector, vector, result, statistic, statistic};
        const memory::desc v({spec_.width}, f32, {1}), s({rows}, f32, {1});
        append(layer_norm(x, s), {{DNNL_ARG_SRC, x},
                                  {DNNL_ARG_SCALE, v},
                                  {DNNL_ARG_SHIFT, v},
                                  {DNNL_ARG_DST, x},
                                  {DNNL_ARG_MEAN, s},
                                  {DNNL_ARG_VARIANCE, s}});
        return;
      }
    }
  }

  template <typename Pd> void append(const std::pair<Pd, dnnl::primitive>& made, std::vector<Arg> args) {
    primitives_.emplace_back(made.first, made.second, std::move(args), threads_);
  }

  // The descriptors take different arguments in oneDNN 2 and 3; nothing else differs.
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
void Rows::run(std::initializer_list<const void*> in, std::initializer_list<void*> out, void* scratch, RowsSum sum) {
  impl_->run({in.begin(), in.size()}, {out.begin(), out.size()}, scratch, sum);
}

}  // namespace ringmaster::backend
