// SPDX-License-Identifier: Apache-2.0
#include "data/evaluation.h"

#include "core/error.h"

#include <algorithm>
#include <utility>

namespace ringmaster::data {

ValidationWindows::ValidationWindows(Split validation, int64_t seq_len)
    : validation_(std::move(validation)), seq_len_(seq_len) {
  CHECK(seq_len_ >= 1, "seq_len {}", seq_len_);
  if (validation_.size >= 2) return;
  const Source& source = *validation_.source;
  const bool split_off = source.key() == "data.path";
  throw Error({.kind = ErrorKind::data,
               .message = fmt::format("the validation split of {} has {} token{}, and so no target", source.key(),
                                      validation_.size, validation_.size == 1 ? "" : "s"),
               .file = source.files().front().path(),
               .key = split_off ? "data.validation_fraction" : source.key(),
               .found = fmt::format("{} token{}", validation_.size, validation_.size == 1 ? "" : "s"),
               .expected = "at least 2 tokens",
               .cure = split_off ? "use more data, raise data.validation_fraction or set data.validation_path"
                                 : "use a longer file"});
}

void ValidationWindows::fill(int64_t first, int64_t count, const BatchMemory& out) const {
  auto *const tokens_BT = out.tensor<int32_t>("tokens"), *const targets_BT = out.tensor<int32_t>("targets");
  auto* const mask_BT = out.tensor<float>("mask");
  for (int64_t b = 0; b < count; ++b) {
    const int64_t start = (first + b) * seq_len_;
    const int64_t targets = std::clamp<int64_t>(num_targets() - start, 0, seq_len_);
    const int64_t padding = seq_len_ - targets;
    int32_t* const tokens_T = tokens_BT + b * seq_len_;
    int32_t* const targets_T = targets_BT + b * seq_len_;
    float* const mask_T = mask_BT + b * seq_len_;
    if (targets > 0) {
      validation_.read(start, targets, tokens_T);
      std::copy(tokens_T + 1, tokens_T + targets, targets_T);
      validation_.read(start + targets, 1, targets_T + targets - 1);
    }
    std::fill_n(tokens_T + targets, padding, 0);
    std::fill_n(targets_T + targets, padding, 0);
    std::fill_n(mask_T, targets, 1.0F);
    std::fill_n(mask_T + targets, padding, 0.0F);
  }
}

}  // namespace ringmaster::data
