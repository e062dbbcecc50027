// SPDX-License-Identifier: Apache-2.0
// leaving: how the kernel of an op that makes a gradient (Traits::sums) lets it leave the grain, which the fuse pass decides: to
// memory of its own, or straight into the sum over the grains that reads it, as floats or as integers of a grid (grids.cpp).
#pragma once
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/grid.h"
#include "core/error.h"
#include "ir/op.h"

namespace ringmaster::ops {

// "first": the first grain stores, the others add; "add": another op stores first.
inline const ir::AttrSpec into_sum_attr{"into_sum", std::string(), false, "adds over the grains: '' | first | add"};
// The grid f32[] is the last input then, and the largest magnitude f32[] is the last output.
inline const ir::AttrSpec on_grid_attr{"on_grid", false, false,
                                       "rounds to integers of the grid that is the last input"};

inline size_t inputs_before_grid(const ir::OpView& v) { return v.in.size() - (v.attrs.flag("on_grid") ? 1 : 0); }

// The outputs of an op whose gradient is output `sums`, as it leaves the grain.
inline std::vector<ir::Type> leaves_grain(const ir::OpView& v, size_t sums, std::vector<ir::Type> out) {
  if (!v.attrs.flag("on_grid")) return out;
  const ir::Type scalar{DType::f32, {}};
  if (!(v.in.back() == scalar) || out[sums].dtype != DType::f32)
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} on a grid {}", str(out[sums]), str(v.in.back())),
                 .expected = "an f32 gradient, and f32[] as the last input"});
  out[sums].dtype = DType::i32;
  out.push_back(scalar);
  return out;
}

// A reference that has made the gradient, output `sums`, as it leaves the grain.
inline void leave_reference(const ir::OpView& v, size_t sums, std::span<const ir::RefTensor> in,
                            std::span<ir::RefTensor> out) {
  if (!v.attrs.flag("on_grid")) return;
  double& peak = out.back().data[0];
  for (double& x : out[sums].data) {
    peak = std::isnan(x) || std::abs(x) > peak ? std::abs(x) : peak;
    x = std::nearbyint(x * in.back().data[0]);
  }
}

class Leaving {
 public:
  explicit Leaving(const ir::OpView& v)
      : into_sum_(v.attrs.text("into_sum")),
        on_grid_(v.attrs.flag("on_grid")),
        grid_(static_cast<int>(v.in.size()) - 1),
        peak_(static_cast<int>(v.out.size()) - 1) {}

  // make(fold) computes the gradient and lets its finished pieces go where `fold` says.
  template <typename Make> void run(const ir::KernelArgs& a, const Make& make) const {
    backend::Fold fold{.add = into_sum_ == "add" || (into_sum_ == "first" && !a.context.first_grain)};
    if (!on_grid_) return make(fold);
    backend::Peak peak;
    fold.peak = &peak;
    fold.multiplier = *a.input<float>(grid_);
    make(fold);
    *a.output<float>(peak_) = peak.value();
  }

 private:
  std::string into_sum_;
  bool on_grid_;
  int grid_, peak_;
};

}  // namespace ringmaster::ops
