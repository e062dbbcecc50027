// SPDX-License-Identifier: Apache-2.0
// grids: in what unit each gradient of a phase is rounded to integers, and whether these fitted (backend/cpu/grid.h,
// docs/decisions/numerics.md).
//   state maxima f32[T,16]: of the last 16 updates, for each of T gradients, the sum over the grains of the largest magnitude in it,
//   not multiplied by a loss scale. All 0 at first.
//   grids       in maxima; scale f32[], optional: the loss scale       out T times f32[]: 2^e / scale
//     e is the largest for which 2^e times the largest of its 16 maxima lies below 2^26: 5 bits of head room to 31. A gradient whose
//     maxima are all 0 takes the finest grid of the phase. Of a phase whose maxima are all 0 all are 0.
//   next_grids  in maxima; step f32[] or i32[], the count of this update; with `scaled` the loss scale; T times f32[G], the largest
//               magnitude of each grain     out maxima with this update's at step mod 16, or as they were where one is not finite,
//               over the old ones where those die; i32[]: 1 the integers of every gradient fitted, 0 one did not, -1 one is not finite
//   numerics: sums in f64 in the order of the grains, rounded up to f32.   errors: config if shapes or dtypes differ.
#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ringmaster::ops {
namespace {

using ir::OpView;

constexpr int bits_of_maxima = 26;  // 5 below the 31 of an integer with a sign
constexpr int most_exponent = 120;  // 2^e is a normal f32, and so is 2^-e
// What the sums of integers stay below: 2^20 for all that rounding may add to them, which is half a unit a part and grain.
constexpr double limit = 2147483648.0 - 1048576.0;
constexpr int64_t most_grains = int64_t{1} << 18;

const ir::AttrSpec next_attrs[] = {{"scaled", false, false, "the third input is the loss scale"}};

void require(bool ok, const ir::Type& found, const char* what, const char* expected) {
  if (ok) return;
  throw Error({.kind = ErrorKind::config, .message = fmt::format("{} is {}", what, str(found)), .expected = expected});
}

int64_t require_maxima(const ir::Type& type) {
  require(type.dtype == DType::f32 && type.shape.rank() == 2 && type.shape[1] == gradient_updates, type, "maxima",
          "f32[T,16]");
  return type.shape[0];
}

std::vector<ir::Type> infer_grids(const OpView& v) {
  const int64_t tensors = require_maxima(v.in[0]);
  if (v.in.size() > 1) require(v.in[1] == f32({}), v.in[1], "scale", "f32[]");
  return std::vector<ir::Type>(static_cast<size_t>(tensors), f32({}));
}

size_t first_peak(const ir::Attrs& attrs) { return attrs.flag("scaled") ? 3 : 2; }

std::vector<ir::Type> infer_next(const OpView& v) {
  const int64_t tensors = require_maxima(v.in[0]);
  require(v.in[1] == f32({}) || v.in[1] == i32({}), v.in[1], "step", "f32[] or i32[]");
  const size_t first = first_peak(v.attrs);
  if (first == 3) require(v.in[2] == f32({}), v.in[2], "scale", "f32[]");
  if (std::ssize(v.in) != tensors + static_cast<int64_t>(first))
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("{} inputs with maxima of {} gradients", v.in.size(), tensors),
                 .expected = fmt::format("{}", tensors + static_cast<int64_t>(first))});
  for (const ir::Type& peaks : v.in.subspan(first))
    require(peaks.dtype == DType::f32 && peaks.shape.rank() == 1 && peaks.shape[0] <= most_grains, peaks,
            "the magnitudes of a gradient", "f32[G], of at most 2^18 grains a step");
  return {v.in[0], i32({})};
}

// Of the 16 maxima of a gradient.
template <typename T> double largest_of(const T* maxima, int64_t gradient) {
  const T* row = maxima + gradient * gradient_updates;
  return *std::max_element(row, row + gradient_updates);
}

// The least of them that is not 0; 0 if all are.
template <typename T> double finest_of(const T* maxima, int64_t gradients) {
  double finest = 0.0;
  for (int64_t i = 0; i < gradients; ++i)
    if (const double x = largest_of(maxima, i); x > 0 && (finest == 0.0 || x < finest)) finest = x;
  return finest;
}

// 2^e / scale, a normal f32; 0 where the phase has no grids.
double multiplier(double largest, double finest, double scale) {
  if (finest == 0.0) return 0.0;
  const int e = std::min(bits_of_maxima - 1 - std::ilogb(largest > 0 ? largest : finest), most_exponent);
  return std::ldexp(1.0, std::clamp(e - std::ilogb(scale), -126, 126));
}

// Over the grains, in their order.
template <typename T> double sum_of(const T* peaks, int64_t grains) {
  double sum = 0.0;
  for (int64_t g = 0; g < grains; ++g) sum += peaks[g];
  return sum;
}

// peaks(i) are the magnitudes of gradient i by grain, multiplied by `scale`.
template <typename T, typename Peaks>
int check(const T* maxima, double scale, int64_t gradients, int64_t grains, const Peaks& peaks) {
  const double finest = finest_of(maxima, gradients);
  int fits = 1;
  for (int64_t i = 0; i < gradients; ++i) {
    const double sum = sum_of(peaks(i), grains), by = multiplier(largest_of(maxima, i), finest, scale);
    if (!std::isfinite(static_cast<float>(sum / scale))) return -1;
    if (by == 0.0 ? sum > 0.0 : sum * by >= limit) fits = 0;
  }
  return fits;
}

float rounded_up(double x) {
  const auto nearest = static_cast<float>(x);
  const float up = nearest < x ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
  return std::min(up, std::numeric_limits<float>::max());
}

int64_t slot_of(double step) {
  CHECK(step >= 0, "update {}", step);
  return static_cast<int64_t>(step) % gradient_updates;
}

// The inputs of next_grids, in either kind of memory.
struct Layout {
  int64_t gradients, grains;
  size_t first;  // of the magnitudes
  bool scaled;

  explicit Layout(const OpView& v)
      : gradients(v.in[0].shape[0]),
        grains(gradients > 0 ? v.in[first_peak(v.attrs)].shape[0] : 0),
        first(first_peak(v.attrs)),
        scaled(v.attrs.flag("scaled")) {}
};

void reference_grids(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                     const ir::RunContext&) {
  const double* maxima = in[0].data.data();
  const double finest = finest_of(maxima, v.in[0].shape[0]);
  for (size_t i = 0; i < out.size(); ++i)
    out[i].data[0] =
        multiplier(largest_of(maxima, static_cast<int64_t>(i)), finest, in.size() > 1 ? in[1].data[0] : 1.0);
}

void reference_next(const OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
                    const ir::RunContext&) {
  const Layout layout(v);
  const double scale = layout.scaled ? in[2].data[0] : 1.0;
  const auto peaks = [&](int64_t i) { return in[layout.first + static_cast<size_t>(i)].data.data(); };
  const int fits = check(in[0].data.data(), scale, layout.gradients, layout.grains, peaks);
  out[0].data = in[0].data;
  out[1].data[0] = fits;
  for (int64_t i = 0; fits >= 0 && i < layout.gradients; ++i)
    out[0].data[static_cast<size_t>(i * gradient_updates + slot_of(in[1].data[0]))] =
        rounded_up(sum_of(peaks(i), layout.grains) / scale);
}

std::unique_ptr<ir::Kernel> cpu_grids(const OpView& v, int) {
  return ir::make_kernel([gradients = v.in[0].shape[0], scaled = v.in.size() > 1](const ir::KernelArgs& a) {
    const auto* maxima = a.input<float>(0);
    const double finest = finest_of(maxima, gradients), scale = scaled ? *a.input<float>(1) : 1.0;
    for (int64_t i = 0; i < gradients; ++i)
      *a.output<float>(static_cast<int>(i)) = static_cast<float>(multiplier(largest_of(maxima, i), finest, scale));
  });
}

std::unique_ptr<ir::Kernel> cpu_next(const OpView& v, int) {
  return ir::make_kernel([layout = Layout(v), step = v.in[1].dtype](const ir::KernelArgs& a) {
    const auto* maxima = a.input<float>(0);
    const double scale = layout.scaled ? *a.input<float>(2) : 1.0;
    const auto peaks = [&](int64_t i) { return a.input<float>(static_cast<int>(layout.first) + static_cast<int>(i)); };
    const int fits = check(maxima, scale, layout.gradients, layout.grains, peaks);
    *a.output<int32_t>(1) = fits;
    auto* next = a.output<float>(0);
    if (next != maxima) std::copy_n(maxima, layout.gradients * gradient_updates, next);
    const int64_t slot = slot_of(step == DType::i32 ? static_cast<double>(*a.input<int32_t>(1))
                                                    : static_cast<double>(*a.input<float>(1)));
    for (int64_t i = 0; fits >= 0 && i < layout.gradients; ++i)
      next[i * gradient_updates + slot] = rounded_up(sum_of(peaks(i), layout.grains) / scale);
  });
}

ir::Fill within(double low, double high) { return {.kind = ir::Fill::uniform, .low = low, .high = high}; }

std::vector<ir::Sample> samples_grids() {
  std::vector<ir::Sample> list;
  for (const double high : {0.0, 1e-30, 1e-3, 7.0, 1e30})
    for (const int64_t tensors : {1, 5}) {
      list.push_back({.in = {f32({tensors, gradient_updates})}, .fill = {within(high, high)}});
      list.push_back(
          {.in = {f32({tensors, gradient_updates}), f32({})}, .fill = {within(0.0, high), within(4096, 4096)}});
    }
  return list;
}

// Magnitudes that fit, that do not by far, and those of a phase without grids.
std::vector<ir::Sample> samples_next() {
  std::vector<ir::Sample> list;
  for (const double of : {0.0, 1.0})
    for (const double peak : {0.0, 0.5, 1e3, 1e30})
      for (const bool scaled : {false, true}) {
        ir::Sample s{.in = {f32({3, gradient_updates}), f32({})}, .attrs = {{"scaled", scaled}}};
        s.fill = {within(of, of), within(37, 37)};
        if (scaled) {
          s.in.push_back(f32({}));
          s.fill.push_back(within(1024, 1024));
        }
        for (int i = 0; i < 3; ++i) {
          s.in.push_back(f32({4}));
          s.fill.push_back(within(peak / 2, peak));
        }
        list.push_back(std::move(s));
      }
  return list;
}

}  // namespace

const OpDef grids_op{
    .name = "grids",
    .doc = "maxima f32[T,16] -> T times f32[]: what gradients are multiplied by to be rounded to integers",
    .min_inputs = 1,
    .max_inputs = 2,
    .infer = infer_grids,
    .reference = reference_grids,
    .cpu = cpu_grids,
    .samples = samples_grids,
    .traits = {.cast = ir::CastClass::f32, .host = true, .differentiable = false}};

const OpDef next_grids_op{
    .name = "next_grids",
    .doc = "maxima, step, magnitudes by grain -> the next maxima, whether the integers fitted",
    .attrs = next_attrs,
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = infer_next,
    .reference = reference_next,
    .cpu = cpu_next,
    .samples = samples_next,
    .traits = {.cast = ir::CastClass::f32, .host = true, .in_place = true, .differentiable = false}};

std::vector<Tensor> grids(Tensor maxima, Tensor scale) {
  std::vector<Tensor> in{maxima};
  if (scale.valid()) in.push_back(scale);
  return maxima.builder().emit(grids_op, in);
}

NextGrids next_grids(Tensor maxima, Tensor step, Tensor scale, std::span<const Tensor> peaks) {
  std::vector<Tensor> in{maxima, step};
  if (scale.valid()) in.push_back(scale);
  in.insert(in.end(), peaks.begin(), peaks.end());
  const auto out = maxima.builder().emit(next_grids_op, in, {{"scaled", scale.valid()}});
  return {out[0], out[1]};
}

}  // namespace ringmaster::ops
