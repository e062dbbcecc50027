// SPDX-License-Identifier: Apache-2.0
// timeline: what a program holds from its first instruction to its last, as text and as an SVG picture.
#pragma once
#include "train/session.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

struct Timeline {
  static constexpr std::array<ir::Category, 5> kinds = {ir::Category::workspace, ir::Category::communication,
                                                        ir::Category::batches, ir::Category::gradients,
                                                        ir::Category::activations};
  struct Moment {
    std::array<int64_t, kinds.size()> bytes{};  // by kind
    int64_t sum() const;
  };
  int64_t states = 0;           // weights, masters, optimizer: all the time
  std::vector<Moment> moments;  // by instruction
  int64_t backward = 0;         // the instruction behind the one that yields the loss, and
  int64_t update = 0;           // the first behind the grains
};
Timeline timeline_of(const Compiled& program, const ir::StateLayout& states);

std::string to_text(const Timeline& timeline, bool unicode);
// One document of 960 x 420; `where` names the instruction at which most is alive.
std::string to_svg(const Timeline& timeline, const std::string& title, const std::string& where);

}  // namespace ringmaster::train
