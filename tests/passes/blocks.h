// SPDX-License-Identifier: Apache-2.0
// blocks: programs of several like blocks with a loss and a backward that reads all that forward makes.
#pragma once
#include "tests/passes/pass_test_util.h"

namespace ringmaster::passes {

// `blocks` blocks of two values each, y = gelu(x) and x = x y, and a loss; backward reads all of them.
inline ir::Graph blocks(int blocks) {
  std::string text = "program p\nfor grain\n  %x0 f32[4,2] = input() name=\"x\" shape=[4,2]\n";
  for (int i = 0; i < blocks; ++i) {
    text += fmt::format("  %y{0} f32[4,2] = gelu(%x{0})  @h.{0}.mlp\n  %x{1} f32[4,2] = mul(%x{0}, %y{0})  @h.{0}\n", i,
                        i + 1);
  }
  text += fmt::format("  %l f32[] = sum(%x{}) dims=[0,1]\n  %loss f32[1] = grain_gather(%l) grains=1\n", blocks);
  for (int i = blocks; i-- > 0;) {
    text +=
        fmt::format("  %d{0} f32[4,2] = mul(%x{1}, %y{0})  @h.{0}\n  %q{0} f32[4,2] = grain_sum(%d{0})\n", i, i + 1);
  }
  text += "step\n";
  for (int i = 0; i < blocks; ++i) text += fmt::format("  output(%q{0}) name=\"q{0}\"\n", i);
  return graph_of(text);
}

// Blocks of two products around an activation: h = x w, a = gelu(h), x = x + a w. As a trainer makes them, backward adds the gradient of
// the stream and needs each factor of each product.
inline ir::Graph mlp_blocks(int blocks, int64_t rows = 64, int64_t width = 32) {
  const auto type = fmt::format("f32[{},{}]", rows, width);
  std::string text = fmt::format(
      "program p\nstate weight f32[{1},{1}] \"w\"\nfor grain\n  %w f32[{1},{1}] = state_read() "
      "name=\"w\" shape=[{1},{1}]\n  %x0 f32[{0},{1}] = input() name=\"x\" shape=[{0},{1}]\n",
      rows, width);
  for (int i = 0; i < blocks; ++i) {
    text += fmt::format(
        "  %h{0} {2} = matmul(%x{0}, %w)  @h.{0}.up\n  %a{0} {2} = gelu(%h{0})  @h.{0}\n"
        "  %b{0} {2} = matmul(%a{0}, %w)  @h.{0}.down\n  %x{1} {2} = add(%x{0}, %b{0})  @h.{0}\n",
        i, i + 1, type);
  }
  text += fmt::format(
      "  %l f32[] = sum(%x{0}) dims=[0,1]\n  %loss f32[1] = grain_gather(%l) grains=1\n"
      "  %d{0} {1} = exp(%x{0})\n",
      blocks, type);
  for (int i = blocks; i-- > 0;) {
    text += fmt::format(
        "  %p{0} f32[{3},{3}] = matmul(%a{0}, %d{1}) transpose_a=true into_sum=\"first\"  @h.{0}.down\n  %P{0} "
        "f32[{3},{3}] = grain_sum(%p{0})\n"
        "  %e{0} {2} = matmul(%d{1}, %w) transpose_b=true  @h.{0}.down\n  %f{0} {2} = gelu_grad(%e{0}, %h{0})  @h.{0}\n"
        "  %q{0} f32[{3},{3}] = matmul(%x{0}, %f{0}) transpose_a=true into_sum=\"first\"  @h.{0}.up\n  %Q{0} "
        "f32[{3},{3}] = grain_sum(%q{0})\n"
        "  %g{0} {2} = matmul(%f{0}, %w) transpose_b=true  @h.{0}.up\n  %d{0} {2} = add(%d{1}, %g{0})  @h.{0}\n",
        i, i + 1, type, width);
  }
  text += fmt::format("  %r {0} = grain_sum(%d0)\nstep\n  output(%r) name=\"r\"\n", type);
  for (int i = 0; i < blocks; ++i)
    text += fmt::format("  output(%P{0}) name=\"P{0}\"\n  output(%Q{0}) name=\"Q{0}\"\n", i);
  return graph_of(text);
}

}  // namespace ringmaster::passes
