// SPDX-License-Identifier: Apache-2.0
// segments: forward as a chain, cut at the entries of the model's blocks. A block is a run of values whose scope agrees up to its
// first number ("transformer.h.3"); its entry is the narrower of the two places around its first value, so that the residual stream
// alone passes the cut.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "passes/forward.h"

namespace ringmaster::passes {

// Values begin .. end - 1 of a Forward.
struct Segment {
  std::string name;  // of its block: "transformer.h.3"; "" outside of all
  int32_t begin = 0, end = 0;
  std::vector<int32_t> passing;  // values of it, or of segments before it, that values behind it are made from
};
std::vector<Segment> cut(const ir::Graph& graph, const Forward& forward);

// "transformer.h.3.attn" -> "transformer.h.3"; "" where no part of the scope is a number.
std::string block_of(const std::string& scope);
// The block, or the scope where there is none: what a report names.
std::string place_of(const std::string& scope);

}  // namespace ringmaster::passes
