// SPDX-License-Identifier: Apache-2.0
// flash_backward: all gradients of one head, block of keys by block of keys. Scores are computed again from lse:
//   p = exp(q k' scale - lse)     dp = dy v'     ds = p (dp - rowsum(dy y))     dv = p' dy     dk = scale ds' q     dq = scale ds k
// dk and dv of a block stay in f32 until it is done, dq of the head until the end. Rules in flash_loops.h.
#pragma once
#include "backend/cpu/flash_forward.h"

namespace ringmaster::backend::flash {

// A block of keys against the tile of queries from strip `first` on.
struct Block {
  int64_t k0, keys;       // keys that anybody sees, of this block
  int64_t first, strips;  // strips of queries
};

template <typename A> int64_t p_stride(const Layout& l) { return l.q_tile / A::pair; }

// p and ds of `n` keys for one strip: rows [key][q_tile] for both, pairs for ds.
template <typename A>
[[gnu::noinline]] void slopes(const Layout& l, const BackwardScratch& s, const Block& b, int64_t index,
                              const Sight<A>& sight, int64_t n) {
  const int64_t units = l.units(), strip_at = b.first + index, stride = p_stride<A>(l);
  const uint32_t *q = s.q + strip_at * units * strip, *dy = s.dy + strip_at * units * strip;
  const typename A::V scale = A::set(l.scale), to_log2 = A::set(log2_e);
  for (int64_t i = 0; i < n; i += A::mr) {
    const bool masked = b.k0 + i + A::mr > sight.all;
#pragma GCC unroll 2
    for (int c = 0; c < 2; c += A::nr) {
      Tile<A> p, dp;
      clear<A, A::nr>(p);
      product<A, A::nr>(units, s.k + i * units, units, 1, q + 16 * c, strip, p);
#pragma GCC unroll 2
      for (int j = 0; j < A::nr; ++j) {
        const typename A::V lse = A::load(s.lse + strip_at * strip + 16 * (c + j));
#pragma GCC unroll 8
        for (int r = 0; r < A::mr; ++r) {
          typename A::V x = A::fma(p[r][j], scale, A::set(0.0F) - lse);
          if (masked) x = A::seen(static_cast<float>(b.k0 + i + r), sight.limits[c + j], x);
          p[r][j] = A::exp2(x * to_log2);
        }
      }
      clear<A, A::nr>(dp);
      product<A, A::nr>(units, s.v + i * units, units, 1, dy + 16 * c, strip, dp);
#pragma GCC unroll 2
      for (int j = 0; j < A::nr; ++j) {
        const typename A::V dot = A::load(s.dot + strip_at * strip + 16 * (c + j));
        const int64_t at = i * stride + (index * strip + 16 * (c + j)) / A::pair;
#pragma GCC unroll 8
        for (int r = 0; r < A::mr; r += 2) {
          const typename A::V x = p[r][j] * (dp[r][j] - dot), y = p[r + 1][j] * (dp[r + 1][j] - dot);
          A::store_rows(s.p + at + r * stride, stride, p[r][j], p[r + 1][j]);
          A::store_rows(s.ds + at + r * stride, stride, x, y);
          if constexpr (A::pair == 2) A::store_pairs(s.ds_pairs + (i + r) / 2 * strip + 16 * (c + j), strip, x, y);
        }
      }
    }
  }
}

// dq of one strip += ds k
template <typename A>
[[gnu::noinline]] void add_dq(const Layout& l, const BackwardScratch& s, const Block& b, int64_t index, int64_t n) {
  float* dq = s.dq + (b.first + index) * l.rows() * strip;
  const uint32_t* ds = A::pair == 2 ? s.ds_pairs : s.ds + index * strip;
  const int64_t stride = A::pair == 2 ? strip : p_stride<A>(l);
  for (int64_t d = 0; d < l.rows(); d += A::mr)
#pragma GCC unroll 2
    for (int c = 0; c < 2; c += A::nr) {
      Tile<A> sum;
      load_tile<A, A::nr>(dq + d * strip + 16 * c, strip, sum);
      product<A, A::nr>(n / A::pair, s.k_pairs + d, 1, l.lanes(), ds + 16 * c, stride, sum);
      store_tile<A, A::nr>(dq + d * strip + 16 * c, strip, sum);
    }
}

// to [mr keys][lanes of dim] += a [mr keys][units of queries] b [units of queries][lanes of dim]
template <typename A>
[[gnu::noinline]] void add_rows(const Layout& l, int64_t units, const uint32_t* a, const uint32_t* b, float* to) {
  const int64_t lanes = l.lanes();
  int64_t d = 0;
  for (; d + 16 * A::nr <= lanes; d += 16 * A::nr) {
    Tile<A> sum;
    load_tile<A, A::nr>(to + d, lanes, sum);
    product<A, A::nr>(units, a, p_stride<A>(l), 1, b + d, lanes, sum);
    store_tile<A, A::nr>(to + d, lanes, sum);
  }
  for (; d < lanes; d += 16) {
    typename A::V sum[A::mr][1];
    load_tile<A, 1>(to + d, lanes, sum);
    product<A, 1>(units, a, p_stride<A>(l), 1, b + d, lanes, sum);
    store_tile<A, 1>(to + d, lanes, sum);
  }
}

template <typename A> void backward_block(const Layout& l, const Head& h, const BackwardScratch& s, const Block& b) {
  int64_t begin = b.strips;  // first strip that sees a key of the block
  for (int64_t i = 0; i < b.strips; ++i) {
    const Sight<A> sight(l, h.keys, (b.first + i) * strip);
    const int64_t seen = (sight.any < b.k0 + b.keys ? sight.any : b.k0 + b.keys) - b.k0;
    if (seen <= 0) continue;
    if (i < begin) begin = i;
    slopes<A>(l, s, b, i, sight, up(seen, group));
    add_dq<A>(l, s, b, i, up(seen, group));
  }
  const auto add = [&](const uint32_t* a, const uint32_t* x, float* to) {
    for (int64_t k = 0; k < b.keys; k += A::mr) {
      int64_t i = begin;  // queries before the first key of a group have no p here
      const int64_t key = b.k0 + k / group * group;
      while (l.causal && i < b.strips && (b.first + i + 1) * strip <= key) ++i;
      const int64_t units = (b.strips - i) * strip / A::pair, at = k * p_stride<A>(l) + i * strip / A::pair;
      add_rows<A>(l, units, a + at, x + (b.first + i) * strip / A::pair * l.lanes(), to + k * l.lanes());
    }
  };
  add(s.p, s.dy_pairs, s.dv);
  add(s.ds, s.q_pairs, s.dk);
}

template <typename A> void backward(const Layout& l, const Head& h, const HeadGrad& g, char* scratch) {
  const BackwardScratch s(l, scratch);
  pack_queries(l, h, g, s);
  for (int64_t k0 = 0; k0 < l.k_len; k0 += l.k_tile) {
    const int64_t count = l.k_len - k0 < l.k_tile ? l.k_len - k0 : l.k_tile;
    const int64_t keys = h.keys - k0 < 0 ? 0 : h.keys - k0 < count ? h.keys - k0 : count;
    pack_rows(source(l, h.k, l.k_stride, k0), keys, up(keys, group), s.k);
    pack_rows(source(l, h.v, l.v_stride, k0), keys, up(keys, group), s.v);
    pack_pairs(source(l, h.k, l.k_stride, k0), keys, up(keys, group), s.k_pairs);
    for (int64_t i = 0; i < l.k_tile * l.lanes(); ++i) s.dk[i] = s.dv[i] = 0.0F;
    const int64_t tile = l.q_tile / strip;
    for (int64_t first = l.causal ? k0 / l.q_tile * tile : 0; keys > 0 && first < l.strips(); first += tile) {
      const int64_t left = l.strips() - first;
      backward_block<A>(l, h, s, {k0, keys, first, left < tile ? left : tile});
    }
    write_rows(s.dk, l.lanes(), l.scale, keys, target(l, g.dk, l.k_stride, k0));
    write_rows(s.dv, l.lanes(), 1.0F, keys, target(l, g.dv, l.v_stride, k0));
    write_zeros(count - keys, target(l, g.dk, l.k_stride, k0 + keys));
    write_zeros(count - keys, target(l, g.dv, l.v_stride, k0 + keys));
  }
  for (int64_t i = 0; i < l.strips(); ++i) {
    const int64_t query = i * strip, count = l.q_len - query < strip ? l.q_len - query : strip;
    write_columns(s.dq + i * l.rows() * strip, l.scale, count, target(l, g.dq, l.q_stride, query),
                  reinterpret_cast<float*>(s.staging));
  }
}

}  // namespace ringmaster::backend::flash
