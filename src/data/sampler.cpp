// SPDX-License-Identifier: Apache-2.0
#include "data/sampler.h"

#include "core/error.h"
#include "core/philox.h"
#include "data/permutation.h"

#include <algorithm>
#include <utility>

namespace ringmaster::data {
namespace {

// One more token than the windows hold: the last target.
void check_long_enough(const Split& train, int64_t windows, int64_t seq_len, const char* what) {
  const int64_t needed = windows * seq_len + 1;
  if (train.size >= needed) return;
  const Source& source = *train.source;
  throw Error(
      {.kind = ErrorKind::data,
       .message = fmt::format("the training split of {} has {} tokens, shorter than {} ({} x {} + 1 tokens)",
                              source.key(), train.size, what, windows, seq_len),
       .file = source.files().front().path(),
       .key = source.key(),
       .found = fmt::format("{} tokens", train.size),
       .expected = fmt::format("at least {} tokens", needed),
       .cure = "use more data, or lower training.seq_len, training.global_batch_size or data.validation_fraction"});
}

}  // namespace

Sampler::Sampler(Split train, SamplerOptions options) : train_(std::move(train)), options_(options) {
  const int64_t seq_len = options_.seq_len;
  CHECK(seq_len >= 1 && options_.global_batch_size >= 1, "seq_len {}, global batch {}", seq_len,
        options_.global_batch_size);
  check_long_enough(train_, 1, seq_len, "one window of training.seq_len");
  check_long_enough(train_, options_.global_batch_size, seq_len, "one global batch");
  // As many windows as fit at every offset; but data that holds one global batch always gives one.
  windows_ = std::max(options_.global_batch_size, train_.size / seq_len - 1);
  const int64_t spare = train_.size - 1 - windows_ * seq_len;
  offsets_ = std::min(seq_len, spare + 1);
}

int64_t Sampler::window_start(int64_t sample) const {
  const auto epoch = static_cast<uint64_t>(sample / windows_);
  const auto index = static_cast<uint64_t>(sample % windows_);
  const uint64_t draw = mix(mix(options_.seed, epoch), stable_hash("data.offset"));
  // the high word of the product maps a draw to [0, offsets) without the bias and cost of a modulo
  const auto offset = static_cast<int64_t>((draw >> 32) * static_cast<uint64_t>(offsets_) >> 32);
  const Permutation order(static_cast<uint64_t>(windows_), {.seed = options_.seed, .epoch = epoch});
  return static_cast<int64_t>(order.permute(index)) * options_.seq_len + offset;
}

void Sampler::fill(int64_t first, int64_t count, const BatchMemory& out) const {
  const int64_t T = options_.seq_len;
  auto *const tokens_BT = out.tensor<int32_t>("tokens"), *const targets_BT = out.tensor<int32_t>("targets");
  auto* const mask_BT = out.tensor<float>("mask");
  for (int64_t b = 0; b < count; ++b) {
    const int64_t start = window_start(first + b);
    int32_t* const tokens_T = tokens_BT + b * T;
    int32_t* const targets_T = targets_BT + b * T;
    train_.read(start, T, tokens_T);
    std::copy(tokens_T + 1, tokens_T + T, targets_T);
    train_.read(start + T, 1, targets_T + T - 1);
    std::fill_n(mask_BT + b * T, T, 1.0F);
  }
}

}  // namespace ringmaster::data
