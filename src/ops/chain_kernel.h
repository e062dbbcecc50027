// SPDX-License-Identifier: Apache-2.0
// chain_kernel: runs a chain tile by tile. All values of a tile are f32 and lie in L1; an instruction passes over two or three of
// them. Results leave behind the last instruction of their tile, so that they may take the memory of an input.
#pragma once
#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "backend/cpu/lanes.h"
#include "ops/chain.h"
#include "ops/element.h"
#include "ops/walk.h"

namespace ringmaster::ops {

// Elements begin .. begin + count of x, broadcast as `walk` says, as floats.
template <typename T> void fetch(const Walk<1>& walk, const T* x, int64_t begin, int64_t count, float* y) {
  const int64_t inner = walk.inner();
  for (int64_t i = 0; i < count;) {
    const int64_t column = (begin + i) % inner, n = std::min(inner - column, count - i);
    int64_t row = (begin + i) / inner, at = column * walk.inner_stride(0);
    for (int d = walk.rank - 2; d >= 0; --d) {
      const auto dim = static_cast<size_t>(d);
      at += row % walk.dims[dim] * walk.strides[0][dim];
      row /= walk.dims[dim];
    }
    if (walk.inner_stride(0) == 0) {
      std::fill_n(y + i, n, load(x[at]));
    } else {
      backend::copy_lanes(x + at, y + i, n);
    }
    i += n;
  }
}

template <typename T> void round_to(float* x, int64_t count) {
  backend::for_lanes(count, [&](int64_t i, int64_t n) {
    alignas(64) T rounded[backend::Lanes::width];
    backend::store(rounded, backend::load(x + i, n));
    backend::store(x + i, backend::load(rounded), n);
  });
}

// All that a chain's kernel knows before it runs.
class ChainPlan {
 public:
  ChainPlan(std::span<const ChainInstruction> instructions, const ir::OpView& v)
      : types_(infer_chain(instructions, v.in)), places_(types_.size()), last_read_(types_.size(), never) {
    const Shape& shape = types_[v.in.size()].shape;
    elements = shape.elements();
    for (size_t i = 0; i < v.in.size(); ++i) {
      walks_.push_back(walk_broadcast<1>(shape, {v.in[i].shape}));
      const bool dense = walks_[i].rank == 1 && walks_[i].inner_stride(0) == 1;
      if (dense && v.in[i].dtype == DType::f32) places_[i].input = static_cast<int>(i);
    }
    for (size_t i = 0; i < instructions.size(); ++i)
      for (const size_t operand : instructions[i].operands) last_read_[operand] = static_cast<int64_t>(i);
    const ir::Ints& results = v.attrs.ints("results");
    for (size_t i = 0; i < instructions.size(); ++i) {
      const size_t value = v.in.size() + i;
      const bool leaves = std::ranges::find(results, static_cast<int64_t>(value)) != results.end();
      add_step(instructions[i], static_cast<int64_t>(i), value, leaves);
    }
    for (const int64_t result : results) results_.push_back(static_cast<size_t>(result));
    constexpr int64_t l1_floats = 6144;  // 24 of 32 KiB or more
    tile = std::clamp<int64_t>(l1_floats / std::max<int64_t>(num_buffers_, 1) / 64 * 64, 128, 1024);
    thread_floats = num_buffers_ * tile;
  }

  int64_t elements = 0, tile = 0, thread_floats = 0;

  void run(const ir::KernelArgs& args, float* buffers, int64_t begin, int64_t count) const {
    const auto at = [&](size_t value) -> float* { return buffers + places_[value].buffer * tile; };
    for (const Step& step : steps_) {
      for (const size_t i : step.fetched)
        with_float(types_[i].dtype,
                   [&]<typename T>(T) { fetch(walks_[i], args.input<T>(static_cast<int>(i)), begin, count, at(i)); });
      std::array<const float*, most_tile_inputs> in{};
      for (size_t k = 0; k < step.operands.size(); ++k) {
        const size_t value = step.operands[k];
        const int input = places_[value].input;
        in[k] = input < 0 ? at(value) : args.input<float>(input) + begin;
      }
      float* out = at(step.value);
      step.formula({in.data(), out, begin, count, args.context});
      if (step.rounds) with_float(types_[step.value].dtype, [&]<typename T>(T) { round_to<T>(out, count); });
    }
    for (size_t i = 0; i < results_.size(); ++i)
      with_float(types_[results_[i]].dtype, [&]<typename T>(T) {
        backend::copy_lanes(at(results_[i]), args.output<T>(static_cast<int>(i)) + begin, count);
      });
  }

 private:
  static constexpr int64_t never = -1;

  // Where a tile of a value lies: in a buffer of the thread, or in the memory of its input.
  struct Place {
    int64_t buffer = -1;
    int input = -1;
  };
  struct Step {
    ir::TileFunction formula;
    std::vector<size_t> fetched;  // inputs that are read here first
    std::vector<size_t> operands;
    size_t value;
    bool rounds;  // to 16 bits, because another instruction reads it
  };

  void add_step(const ChainInstruction& instruction, int64_t index, size_t value, bool leaves) {
    CHECK(instruction.operands.size() <= most_tile_inputs, "{} operands", instruction.operands.size());
    Step step{{}, {}, instruction.operands, value, last_read_[value] != never && types_[value].dtype != DType::f32};
    std::vector<ir::Type> in;
    for (const size_t operand : instruction.operands) {
      in.push_back(types_[operand]);
      if (places_[operand].input >= 0 || places_[operand].buffer >= 0) continue;
      places_[operand].buffer = take();
      step.fetched.push_back(operand);
    }
    step.formula = instruction.op->tile({instruction.attrs, in, std::span(&types_[value], 1)});
    for (size_t k = 0; k < in.size(); ++k) {
      const size_t operand = instruction.operands[k];
      if (last_read_[operand] == index) release(operand);
    }
    places_[value].buffer = take();  // may be an operand's: a formula allows that
    if (leaves)
      last_read_[value] = std::numeric_limits<int64_t>::max();
    else if (last_read_[value] == never)
      release(value);
    steps_.push_back(std::move(step));
  }
  int64_t take() {
    if (free_.empty()) return num_buffers_++;
    const int64_t buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void release(size_t value) {
    const int64_t buffer = places_[value].buffer;
    if (buffer >= 0 && std::ranges::find(free_, buffer) == free_.end()) free_.push_back(buffer);
  }

  std::vector<ir::Type> types_;  // of all values, as places_ and last_read_
  std::vector<Place> places_;
  std::vector<int64_t> last_read_;  // the instruction
  std::vector<Walk<1>> walks_;      // of the inputs
  std::vector<Step> steps_;
  std::vector<size_t> results_;
  std::vector<int64_t> free_;
  int64_t num_buffers_ = 0;
};

}  // namespace ringmaster::ops
