// SPDX-License-Identifier: Apache-2.0
// parity_scaler: the loss scale before each step of a script.   parity_scaler GROWTH_INTERVAL SCRIPT
//   SCRIPT  one character a step: "." the gradients are finite, "x" one overflows
#include "ops/defs.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

int main(int count, char** arguments) {
  using namespace ringmaster;
  if (count != 3) return 2;
  ir::Attrs attrs;
  attrs.set("growth_interval", static_cast<int64_t>(std::atoll(arguments[1])));
  const std::array<ir::Type, 2> in{{{DType::i32, {2}}, {DType::i32, {}}}}, scales{{{DType::f32, {}}, {DType::f32, {}}}};
  const auto next = ops::next_loss_scale_op.cpu({attrs, in, std::span(in).first(1)}, 1);
  const auto scale = ops::loss_scale_op.cpu({{}, std::span(in).first(1), scales}, 1);
  std::array<int32_t, 2> state{};
  for (const char c : std::string_view(arguments[2])) {
    float factor = 0, inverse = 0;
    const int32_t commit = c == '.' ? 1 : 0;
    const void* from[] = {state.data(), &commit};
    void *factors[] = {&factor, &inverse}, *to[] = {state.data()};
    scale->run({from, factors, nullptr, {}});
    next->run({from, to, nullptr, {}});
    std::printf("%.17g\n", static_cast<double>(factor));
  }
}
