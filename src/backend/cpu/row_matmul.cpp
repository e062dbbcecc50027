// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/row_matmul.h"

#include "backend/cpu/lanes.h"
#include "backend/cpu/parallel.h"
#include "core/error.h"

#include <algorithm>

namespace ringmaster::backend {
namespace {

constexpr int64_t panel = 64;  // columns of a task: four times the lanes
constexpr int rows_at_once = 4;

float wide(float x) { return x; }
float wide(bf16 x) { return to_float(x); }
float wide(f16 x) { return to_float(x); }

template <typename T> struct Problem {
  const T *a, *b, *bias;
  T* c;
  int64_t n, k;

  // c[R rows, 16 G columns], or of one group its first `tail` columns: chains over k
  template <int R, int G, typename... Tail> void plain(int64_t row, int64_t column, Tail... tail) const {
    static_assert(sizeof...(Tail) == 0 || G == 1);
    Lanes sums[R][G];
    for (int g = 0; g < G; ++g) {
      const Lanes start = bias == nullptr ? Lanes(0.0F) : load(bias + column + g * Lanes::width, tail...);
      for (int r = 0; r < R; ++r) sums[r][g] = start;
    }
    for (int64_t p = 0; p < k; ++p) {
      for (int g = 0; g < G; ++g) {
        const Lanes x = load(b + p * n + column + g * Lanes::width, tail...);
        for (int r = 0; r < R; ++r) sums[r][g] = fma(Lanes(wide(a[(row + r) * k + p])), x, sums[r][g]);
      }
    }
    for (int g = 0; g < G; ++g)
      for (int r = 0; r < R; ++r) store(c + (row + r) * n + column + g * Lanes::width, sums[r][g], tail...);
  }

  template <int R> void plain_panel(int64_t row, int64_t begin, int64_t end) const {
    constexpr int groups = R == 1 ? 4 : 1;  // eight registers of sums either way
    int64_t column = begin;
    for (; column + groups * Lanes::width <= end; column += groups * Lanes::width) plain<R, groups>(row, column);
    for (; column + Lanes::width <= end; column += Lanes::width) plain<R, 1>(row, column);
    if (column < end) plain<R, 1>(row, column, end - column);
  }

  // c[row, J columns] of a transposed b: sums over the lanes
  template <int J> void dots(int64_t row, int64_t column) const {
    Lanes sums[J];
    for (Lanes& sum : sums) sum = Lanes(0.0F);
    for_lanes(k, [&](int64_t p, int64_t count) {
      const Lanes x = load(a + row * k + p, count);
      for (int j = 0; j < J; ++j) sums[j] = fma(x, load(b + (column + j) * k + p, count), sums[j]);
    });
    for (int j = 0; j < J; ++j) {
      const float total = sum(sums[j]) + (bias == nullptr ? 0.0F : wide(bias[column + j]));
      store_tail(c + row * n + column + j, Lanes(total), 1);
    }
  }

  void dots_panel(int64_t row, int64_t begin, int64_t end) const {
    int64_t column = begin;
    for (; column + 4 <= end; column += 4) dots<4>(row, column);
    for (; column < end; ++column) dots<1>(row, column);
  }
};

template <typename T>
void multiply(const MatmulSpec& s, int threads, const void* a, const void* b, const void* bias, void* c) {
  const int64_t blocks = (s.m + rows_at_once - 1) / rows_at_once, panels = (s.n + panel - 1) / panel;
  const int64_t tasks = s.batch * blocks * panels;
  if (s.batch * s.m * s.n * s.k < 200'000) threads = 1;  // done sooner than threads wake
  parallel_for(threads, tasks, [&](int64_t task) {
    const int64_t batch = task / (blocks * panels), column = task / blocks % panels * panel;
    const Problem<T> problem{.a = static_cast<const T*>(a) + batch * s.m * s.k,
                             .b = static_cast<const T*>(b) + batch * s.k * s.n,
                             .bias = static_cast<const T*>(bias),
                             .c = static_cast<T*>(c) + batch * s.m * s.n,
                             .n = s.n,
                             .k = s.k};
    const int64_t begin = task % blocks * rows_at_once, end = std::min(s.m, begin + rows_at_once);
    const int64_t last = std::min(s.n, column + panel);
    if (!s.transpose_b && end - begin == rows_at_once) {
      problem.template plain_panel<rows_at_once>(begin, column, last);
      return;
    }
    for (int64_t row = begin; row < end; ++row) {
      if (s.transpose_b) {
        problem.dots_panel(row, column, last);
      } else {
        problem.template plain_panel<1>(row, column, last);
      }
    }
  });
}

}  // namespace

void row_matmul(const MatmulSpec& spec, int threads, const void* a, const void* b, const void* bias, void* c) {
  CHECK(!spec.transpose_a, "row_matmul of a transposed a");
  switch (spec.dtype) {
    case DType::f32: return multiply<float>(spec, threads, a, b, bias, c);
    case DType::bf16: return multiply<bf16>(spec, threads, a, b, bias, c);
    case DType::f16: return multiply<f16>(spec, threads, a, b, bias, c);
    default: CHECK(false, "row_matmul of {}", name(spec.dtype));
  }
}

}  // namespace ringmaster::backend
