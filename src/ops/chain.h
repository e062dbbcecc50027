// SPDX-License-Identifier: Apache-2.0
// chain: the program of a chain, as its attribute holds it. Values have numbers: the inputs first, then the results in order.
//   chain(%x, %y) program="2 = mul 0 1; 3 = scale 2 factor=0.5; 4 = cast 3 dtype=bf16" results=[2,4]
#pragma once
#include <span>
#include <string>
#include <vector>

#include "ir/op.h"

namespace ringmaster::ops {

inline constexpr int most_tile_inputs = 4;  // of an op with a tile

struct ChainInstruction {
  const ir::OpDef* op;  // has `tile`
  ir::Attrs attrs;      // complete
  std::vector<size_t> operands;
};

std::string print_chain(std::span<const ChainInstruction> instructions, size_t inputs);
// Throws Error (config) quoting what does not fit.
std::vector<ChainInstruction> parse_chain(const std::string& program, size_t inputs);

// The types of all values, inputs first. Throws Error (config) unless all are floats and all results have one shape.
std::vector<ir::Type> infer_chain(std::span<const ChainInstruction> instructions, std::span<const ir::Type> inputs);

}  // namespace ringmaster::ops
