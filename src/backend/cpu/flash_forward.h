// SPDX-License-Identifier: Apache-2.0
// flash_forward: one tile of queries over all keys that they see, by online softmax (Milakov and Gimelshein 2018). Rules in
// flash_loops.h.
#pragma once
#include "backend/cpu/flash_loops.h"

namespace ringmaster::backend::flash {

// y = sum / total and lse of one strip
template <typename A>
void finish_strip(const Layout& l, const Head& h, const ForwardScratch& s, int64_t index, int64_t query) {
  const int64_t left = l.q_len - query, count = left < strip ? left : strip;
  float *y = s.y + index * l.rows() * strip, *top = s.top + index * strip, *total = s.total + index * strip;
  for (int64_t c = 0; c < strip; c += 16) {
    const typename A::V factor = A::inverse_or_zero(A::load(total + c));
    for (int64_t d = 0; d < l.rows(); ++d) A::store(y + d * strip + c, A::load(y + d * strip + c) * factor);
  }
  for (int64_t i = 0; i < count; ++i) h.lse[query + i] = top[i] * l.scale + std::log(total[i]);
  write_columns(y, 1.0F, count, target(l, h.y, l.y_stride, query), reinterpret_cast<float*>(s.staging));
}

template <typename A> void forward(const Layout& l, const Head& h, int64_t q_begin, char* scratch) {
  const ForwardScratch s(l, scratch);
  const int64_t q_end = q_begin + l.q_tile < l.q_len ? q_begin + l.q_tile : l.q_len;
  const int64_t strips = up(q_end - q_begin, strip) / strip;
  for (int64_t i = 0; i < strips; ++i) {
    const int64_t query = q_begin + i * strip, count = q_end - query < strip ? q_end - query : strip;
    pack_strip(source(l, h.q, l.q_stride, query), count, s.q + i * l.units() * strip, s.staging);
  }
  for (int64_t i = 0; i < strips * l.rows() * strip; ++i) s.y[i] = 0.0F;
  for (int64_t i = 0; i < strips * strip; ++i) {
    s.top[i] = nothing;
    s.total[i] = 0.0F;
  }
  const int64_t k_end = l.causal && q_end < h.keys ? q_end : h.keys;
  for (int64_t k0 = 0; k0 < k_end; k0 += l.k_tile) {
    const int64_t count = k_end - k0 < l.k_tile ? k_end - k0 : l.k_tile, padded = up(count, group);
    pack_rows(source(l, h.k, l.k_stride, k0), count, padded, s.k);
    pack_pairs(source(l, h.v, l.v_stride, k0), count, padded, s.v);
    for (int64_t i = 0; i < strips; ++i) {
      const Sight<A> sight(l, h.keys, q_begin + i * strip);
      const int64_t seen = (sight.any < k0 + count ? sight.any : k0 + count) - k0;
      if (seen > 0) forward_strip<A>(l, s, i, sight, k0, up(seen, group));
    }
  }
  for (int64_t i = 0; i < strips; ++i) finish_strip<A>(l, h, s, i, q_begin + i * strip);
}

}  // namespace ringmaster::backend::flash
